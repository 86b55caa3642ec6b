"""The command line: its help, its errors, and whole runs of the installed command."""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.pictures import DATA, write_faces
from support.small_models import HAS_VIT_KERAS
from zoo.small_vits import SMALL, write_published_weights, write_weights

import keras_attnviz
from keras_attnviz.cli import arguments
from keras_attnviz.cli.board import DEFAULT_PORT
from keras_attnviz.cli.main import main
from keras_attnviz.explain.tables import FORMATS
from keras_attnviz.methods.registry import METHODS
from keras_attnviz.methods.rollout import FUSIONS
from keras_attnviz.networks.classifier import (
    MEMBER,
    build_classifier,
    load_classifier,
    save_classifier,
)
from keras_attnviz.networks.pretrained import ARCHITECTURES

COMMAND = Path(sys.executable).parent / "keras-attnviz"
CAT = str(DATA / "chelsea.png")


def run(*arguments, **environment):
    """Runs the installed command; returns the finished process."""
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def subcommands():
    actions = arguments.parser()._actions
    return next(a for a in actions if isinstance(a, argparse._SubParsersAction)).choices


def test_the_commands_are_those_that_the_readme_names():
    assert list(subcommands()) == ["demo", "fit", "explain", "board"]


@pytest.mark.parametrize("name", ["demo", "fit", "explain", "board"])
def test_every_option_is_documented(name):
    for action in subcommands()[name]._actions:
        assert len(action.help.replace("(default: %(default)s)", "").strip()) > 5, action.dest


@pytest.mark.one_stack
@pytest.mark.parametrize("arguments", [[], ["demo"], ["fit"], ["explain"], ["board"]])
def test_help_answers_without_tensorflow(arguments):
    code = (
        "import sys; from keras_attnviz.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(sorted({'tensorflow', 'keras', 'matplotlib', 'numpy'} & set(sys.modules)))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout.startswith("usage: keras-attnviz")
    assert finished.stdout.splitlines()[-1] == "[]"


def test_the_installed_command_tells_its_version():
    assert run("--version").stdout.strip() == f"keras-attnviz {keras_attnviz.__version__}"


def test_what_the_command_line_knows_without_tensorflow_is_true():
    assert tuple(ARCHITECTURES) == arguments.MODELS
    assert tuple(FUSIONS) == arguments.FUSIONS
    assert tuple(METHODS) == arguments.METHODS
    assert FORMATS == arguments.FORMATS


@pytest.mark.one_stack
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("fit --data {data} --image-size 33", "`image_size` must be divisible by the patch size"),
        ("fit --data {data} --image-size 32x33", "Received: image_size=(32, 33). Use 32, for"),
        ("fit --data {data} --epochs 0", "`epochs` must be at least 1. Received: epochs=0."),
        ("fit --data {data} --trainable-blocks 13", "at most the number of blocks, 12, or"),
        ("fit --data {data} --weights no.npz", "the path of an .npz file. Received: weights='no"),
        ("fit --data {data} --probes-per-class 9", "`probes_per_class` must be at most 1, the val"),
        ("fit --data {tmp}/none", "`data` must be an existing directory. Received: data='/"),
        ("fit --data {tmp}", "`data` must be a directory that holds one folder"),
        (
            "fit --data {data} --log-dir {tmp}/file --probes-per-class 1",
            "`log_dir` must be a directory that can be w",
        ),
        ("explain vit_b8 {cat}", "`model` must be one of vit_b16, vit_b32, vit_l16, vit_l32 or"),
        ("explain {tmp}/file {cat}", "`model` must be a file saved by Keras as .keras."),
        ("explain vit_b16 {tmp}/none.png", "`image` must be an existing file or a web address."),
        ("explain vit_b16 {cat} -o {tmp}/none/a.png", "`out` must be a file in an existing dir"),
        ("explain vit_b16 {cat} --image-size 50", "`image_size` must be divisible by the patch"),
        (
            "explain vit_b16 {cat} --activation no_such",
            '`activation` must be the name of a Keras activation, "linear", "sigmoid" or '
            "\"softmax\" for example. Received: activation='no_such'.",
        ),
        ("explain vit_b16 {cat} --input-range 0 1", "`input_range` must be omitted"),
        ("board {tmp}/none", "`log_dir` must be an existing directory."),
        ("board {tmp} --port 70000", "`port` must be at most 65535."),
    ],
)
@pytest.mark.vit_keras
def test_wrong_arguments_give_one_line_and_exit_code_2(tmp_path, capsys, arguments, message):
    data = write_faces(tmp_path / "data faces", per_class=3)
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "file").write_text("", encoding="utf-8")
    names = {"data": data, "tmp": empty, "cat": CAT}
    argv = [part.format(**names) for part in arguments.split()]
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert said.startswith("keras-attnviz: `")
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.one_stack
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("fit", "the following arguments are required: --data"),
        ("fit --data x --image-size big", "'big' is neither a number nor HEIGHTxWIDTH"),
        ("fit --data x --image-size 1x2x3", "'1x2x3' is neither a number nor HEIGHTxWIDTH"),
        ("fit --data x --trainable-blocks some", "'some' is neither a number nor 'all'"),
        ("fit --data x --model vit_b8", "invalid choice: 'vit_b8'"),
        ("explain vit_b16", "the following arguments are required: IMAGE, or --data and --out"),
        ("explain vit_b16 --data x", "--data needs --out, and no IMAGE beside it"),
        ("explain vit_b16 z.png --data x --out y", "--data needs --out, and no IMAGE beside it"),
        ("explain vit_b16 z.png --shard-size 8", "--shard-size needs --data"),
        ("fly", "invalid choice: 'fly'"),
        ("", "the following arguments are required: COMMAND"),
    ],
)
def test_a_command_line_that_cannot_be_read_gives_exit_code_2(capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        main(arguments.split())
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.one_stack
@pytest.mark.vit_keras
def test_an_error_of_the_installed_command_is_one_line(tmp_path):
    finished = run("fit", "--data", tmp_path / "none")
    assert finished.returncode == 2
    assert "Traceback" not in finished.stderr
    assert finished.stderr.splitlines()[-1].startswith("keras-attnviz: `data` must be an existing")


@pytest.fixture
def taken_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.one_stack
@pytest.mark.parametrize("command", ["demo --log-dir {logs}", "board {tmp}"])
def test_a_port_that_was_asked_for_and_is_taken_is_an_error_at_once(
    tmp_path, capsys, taken_port, command
):
    argv = command.format(tmp=tmp_path, logs=tmp_path / "logs").split()
    assert main([*argv, "--port", str(taken_port)]) == 2
    said = capsys.readouterr()
    assert f"`port` must be a free port on localhost. Received: port={taken_port}." in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.one_stack
def test_the_demo_says_before_training_that_it_takes_another_port(tmp_path):
    with socket.socket() as server:
        with contextlib.suppress(OSError):  # something else has it already
            server.bind(("127.0.0.1", DEFAULT_PORT))
            server.listen()
        process = subprocess.Popen(
            [COMMAND, "demo", "--log-dir", tmp_path / "logs"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            first = process.stdout.readline()
        finally:
            process.kill()
            process.communicate()
    assert first.startswith(f"Port {DEFAULT_PORT} is taken; TensorBoard will use port ")


@pytest.mark.one_stack
@pytest.mark.parametrize("module", ["vit_keras", "cv2"])
def test_a_missing_extra_is_named(module):
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        f"from keras_attnviz.cli.main import main; sys.exit(main(['explain', 'vit_b16', {CAT!r}]))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 2
    last = finished.stderr.splitlines()[-1]
    assert last.startswith("keras-attnviz: ")
    assert module in last
    assert last.endswith("Install it with: pip install 'keras-attnviz[vit]'")


@pytest.mark.skipif(HAS_VIT_KERAS, reason="about tf_keras alone")
@pytest.mark.parametrize("command", ["fit --data {data}", "explain vit_b16 {cat}"])
def test_what_a_network_of_vit_keras_needs_is_told(tmp_path, command):
    data = write_faces(tmp_path / "data", per_class=5)
    finished = run(*command.format(data=data, cat=CAT).split())
    assert finished.returncode == 2
    last = finished.stderr.splitlines()[-1]
    assert last.startswith("keras-attnviz: The networks of vit-keras 0.2 need Keras 3")
    assert "Unset TF_USE_LEGACY_KERAS" in last
    assert last.endswith("pip install 'keras-attnviz[legacy]'")


def saved_classifier(path):
    model = build_classifier(SMALL, classes=2, image_size=32, weights="none")
    model.get_layer("classes").bias.assign([0.0, 20.0])
    save_classifier(model, path, architecture=SMALL, class_names=["dog", "cat"])
    return path


@pytest.mark.one_stack
@pytest.mark.vit_keras
def test_an_error_below_this_package_keeps_its_traceback(tmp_path):
    path = saved_classifier(tmp_path / "model.keras")
    (tmp_path / "full.png").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        main(["explain", str(path), CAT, "-o", str(tmp_path / "full.png")])


@pytest.mark.one_stack
@pytest.mark.vit_keras
def test_a_damaged_file_is_named_in_one_line(tmp_path, capsys):
    path = saved_classifier(tmp_path / "model.keras")
    broken = tmp_path / "broken.keras"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(broken, "w") as target:
        for name in source.namelist():
            target.writestr(name, "no json" if name == MEMBER else source.read(name))
    assert main(["explain", str(broken), CAT]) == 2
    said = capsys.readouterr().err
    assert said.startswith("keras-attnviz: `model` must be an intact .keras file")
    assert "broken.keras'. It is damaged: JSONDecodeError" in said
    assert said.count("\n") == 1


@pytest.mark.vit_keras
def test_explain_prints_and_draws_with_a_file_of_ours(tmp_path, capsys):
    path = saved_classifier(tmp_path / "model.keras")
    out = tmp_path / "drawing.png"
    coffee = str(DATA / "coffee.png")
    options = ["-o", str(out), "--start-layer", "-1", "--head-fusion", "max"]
    assert main(["explain", str(path), CAT, coffee, *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{CAT}: cat (100.0%)", f"{coffee}: cat (100.0%)", f"Drawn: {out}"]
    with Image.open(out) as drawing:
        assert drawing.size == (1200, 1260)
        rollout = np.asarray(drawing)
    options = ["-o", str(out), "--method", "affinity"]
    assert main(["explain", str(path), CAT, coffee, *options]) == 0
    with Image.open(out) as drawing:
        assert (np.asarray(drawing) != rollout).any()
    options = ["-o", str(out), "--method", "affinity", "--start-layer", "-1"]
    assert main(["explain", str(path), CAT, *options]) == 2
    assert "The options of 'affinity' must be among: top_layers." in capsys.readouterr().err


@pytest.mark.one_stack
@pytest.mark.vit_keras
def test_explain_streams_a_folder_into_a_file(tmp_path, capsys):
    path = saved_classifier(tmp_path / "model.keras")
    data = write_faces(tmp_path / "data", per_class=5)
    (data / "face" / "bad.png").write_text("no picture", encoding="utf-8")
    out = tmp_path / "heat.tfrecord"
    options = ["--method", "affinity", "--batch-size", "4", "--shard-size", "8"]
    assert main(["explain", str(path), "--data", str(data), "-o", str(out), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Skipped: face/bad.png: `image` must be an intact JPEG or PNG")
    assert lines[1:] == [
        f"Written: {out}.parts/part-00000.tfrecord, 8 images",
        f"Written: {out}.parts/part-00001.tfrecord, 3 images",
        "Explained: 10 pictures, skipped: 1",
        f"Files: {out}",
    ]
    assert out.stat().st_size > 11 * 16 * 4
    again = ["explain", str(path), "--data", str(data), "-o", str(out)]
    assert main(again) == 2
    said = capsys.readouterr().err
    assert said.startswith("keras-attnviz: `out` must be a new file.")


@pytest.mark.slow
@pytest.mark.keras3  # KERAS_HOME
@pytest.mark.vit_keras
def test_explain_with_a_named_network_and_weights_where_vit_keras_keeps_them(tmp_path):
    write_published_weights(tmp_path, best_class=281)
    handler = partial(SimpleHTTPRequestHandler, directory=str(DATA))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/rocket.jpg"
    out = tmp_path / "out.png"
    try:
        finished = run(
            *("explain", "vit_b32", CAT, url, "-o", out, "--image-size", "64x96"),
            *("--activation", "log_softmax"),
            KERAS_HOME=str(tmp_path),
            no_proxy="127.0.0.1",
        )
    finally:
        server.shutdown()
        server.server_close()
    assert finished.returncode == 0, finished.stderr
    lines = finished.stdout.splitlines()
    assert lines[0].startswith(f"{CAT}: tabby, tabby cat (")
    assert lines[1].startswith(f"{url}: tabby, tabby cat (")
    with Image.open(out) as drawing:
        assert drawing.size == (1200, 1260)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A whole run of `fit` on a folder with a corrupt picture."""
    root = tmp_path_factory.mktemp("fitted")
    data = write_faces(root / "data", per_class=8)
    (data / "face" / "bad.JPG").write_text("no picture", encoding="utf-8")
    options = "--model vit_s14 --weights none --image-size 28x42 --epochs 2 --trainable-blocks 1"
    options += " --probes-per-class 1 --start-layer -2 --skip-corrupt"
    finished = run("fit", "--data", data, "--log-dir", root / "logs", *options.split())
    return finished, root / "logs"


@pytest.mark.slow
@pytest.mark.vit_keras
def test_fit_trains_and_says_where_everything_is(fitted):
    finished, logs = fitted
    assert finished.returncode == 0, finished.stderr
    assert "Training on 12 pictures (face: 6, other: 6), validating on 4." in finished.stdout
    assert "Epoch 2/2" in finished.stdout
    assert "(always answering 'face': 0.500)" in finished.stdout
    assert f"Model: {logs / 'model.keras'}" in finished.stdout
    assert len((logs / "history.csv").read_text(encoding="utf-8").splitlines()) == 3
    assert {"train", "validation", "attention"} <= set(os.listdir(logs))


@pytest.mark.slow
@pytest.mark.vit_keras
def test_explain_takes_the_model_that_fit_has_left(fitted, tmp_path):
    _, logs = fitted
    finished = run("explain", logs / "model.keras", CAT, "-o", tmp_path / "out.pdf")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[0].split(" (")[0] in (f"{CAT}: face", f"{CAT}: other")
    assert (tmp_path / "out.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.slow
@pytest.mark.vit_keras
def test_fit_takes_a_weight_file_of_the_right_network_alone(tmp_path):
    data = write_faces(tmp_path / "data", per_class=4)
    weights = write_weights(tmp_path / "small.npz")
    options = ["--image-size", "32", "--probes-per-class", "1", "--log-dir", tmp_path / "logs"]
    finished = run("fit", "--data", data, "--weights", weights, *options)
    assert finished.returncode == 2
    assert "The file has blocks: 2; embedding/kernel: (8, 8, 3, 32)" in finished.stderr


@pytest.mark.one_stack
@pytest.mark.slow
@pytest.mark.vit_keras
@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_fit_says_so(tmp_path):
    data = write_faces(tmp_path / "data", per_class=8)
    options = "--model vit_s14 --weights none --image-size 28 --epochs 500 --probes-per-class 1"
    process = subprocess.Popen(
        [COMMAND, "fit", "--data", data, "--log-dir", tmp_path / "logs", *options.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for line in process.stdout:
            if "Epoch 2/500" in line:
                break
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == "Stopped."
    path = tmp_path / "logs" / "interrupted.keras"
    assert printed.splitlines()[-1].endswith(f" training steps: {path}")
    assert load_classifier(path)[1] == ("face", "other")
