"""Names of any kind: no file outside `log_dir`, no markup, nothing that steers a terminal."""

import html
import os
import re
import sys
import tempfile
import warnings

import numpy as np
import pytest
from support.event_files import images_of
from support.hostile_names import NAMES
from support.pictures import DATA
from support.small_models import small_classifier
from support.trap_servers import replies, trap
from tensorboard import plugin_util
from zoo.small_vits import SMALL

from keras_attnviz import AttentionRolloutCallback, ProbeSet, read_log
from keras_attnviz.cli.main import USER_ERROR, main
from keras_attnviz.log.image_panels import as_markdown
from keras_attnviz.networks.classifier import build_classifier, save_classifier

pytestmark = pytest.mark.one_stack

_written = None
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
_CHANGES = (
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.symlink",
    "os.link",
    "os.truncate",
)


def _note(event, arguments):
    """Notes what Python opens for writing, makes, moves and removes; a hook stays for good."""
    if _written is None:
        return
    if (event == "open" and arguments[2] & _WRITING) or event in _CHANGES:
        _written.append(str(arguments[0]))


sys.addaudithook(_note)


@pytest.fixture
def written():
    """The paths that Python changes in the test."""
    global _written
    _written = []
    yield _written
    _written = None


def tree(*roots):
    """Returns a dict from path to its size and time of all that lies below some folders."""
    found = {}
    for root in roots:
        for parent, folders, files in os.walk(root):
            for name in [*folders, *files]:
                path = os.path.join(parent, name)
                status = os.lstat(path)
                found[path] = (status.st_size, status.st_mtime_ns)
    return found


@pytest.fixture
def hostile_fit(faces, tmp_path, monkeypatch, written):
    """A fit with hostile names; what stood in and around its folders before; its log directory."""
    images, labels = faces
    count = len(NAMES)
    names = [*NAMES[:-1], str(tmp_path / "escaped" / "x")]
    probes = ProbeSet(
        images[:count],
        labels=np.arange(count) % 2,
        names=names,
        class_names=[NAMES[0] + NAMES[14], NAMES[4]],
    )
    log_dir = tmp_path / "a" / "b" / "logs"
    for folder in ("home", "cwd", "scratch", "a/b"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    # TensorFlow translates functions into files there.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    model = small_classifier()
    before = tree(tmp_path), sorted(os.listdir("/"))
    written.clear()
    options = {"full_probes": [0, count - 1], "methods": ["rollout"]}
    callback = AttentionRolloutCallback(probes, log_dir, **options)
    model.fit(images[:64], labels[:64], epochs=1, verbose=0, callbacks=[callback])
    return log_dir, before, names


def test_files_are_written_below_the_log_directory_alone(hostile_fit, tmp_path, written):
    log_dir, (before, root), names = hostile_fit
    inside = (str(log_dir) + os.sep, str(tmp_path / "scratch") + os.sep)
    ours = [path for path in written if not path.startswith(("/dev/", "/proc/"))]
    assert [path for path in ours if not f"{path}{os.sep}".startswith(inside)] == []
    now = tree(tmp_path)
    changed = {path for path in {*now, *before} if now.get(path) != before.get(path)}
    assert str(log_dir) in changed
    outside = {path for path in changed if not f"{path}{os.sep}".startswith(inside)}
    assert outside <= {str(tmp_path / "a" / "b")}  # in which the log directory was made
    assert sorted(os.listdir("/")) == root
    for path in (path for path in now.keys() - before.keys() if path.startswith(inside[0])):
        assert re.fullmatch(
            r"attention|lock|events\.out\.tfevents\.[\w.-]+|\w+\.npz", path.split("/")[-1]
        )
    # All was logged, and arrives as it is.
    log = read_log(log_dir)
    assert log.probes == names
    assert log.steps.tolist() == [-1, 0]
    assert log.problems == []
    pictures = images_of(log_dir / "attention")
    assert len(pictures) == len(names)
    assert all(re.fullmatch(r"attention/[A-Za-z0-9_.-]+", tag) for tag in pictures)


@pytest.mark.parametrize("name", [*NAMES, "# head", "> quote", "- item", "~~~", "_it_ a_b __b__"])
def test_a_name_in_a_description_is_shown_as_it_is(name):
    shown = plugin_util.markdown_to_safe_html(as_markdown(f"{name}. Step 3"))
    text = re.sub(r"^<p>|</p>$", "", shown.strip())
    assert "<" not in text
    expected = " ".join(f"{name}. Step 3".split()).encode("utf-8", "replace").decode()
    # TensorBoard writes question marks for what is no character of HTML.
    assert re.sub(r"[\x00-\x1f?]", "", html.unescape(text)) == re.sub(r"[\x00-\x1f?]", "", expected)


def test_what_the_command_says_does_not_steer_a_terminal(tmp_path, capsys):
    """Class names come from the file of a model, the words of an error from a server."""
    model = build_classifier(SMALL, classes=2, image_size=32, weights="none")
    path = tmp_path / "model.keras"
    save_classifier(model, path, architecture=SMALL, class_names=[NAMES[8] + NAMES[10]] * 2)
    options = ["-o", str(tmp_path / "drawing.png")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # matplotlib's font lacks some of the letters
        assert main(["explain", str(path), str(DATA / "chelsea.png"), *options]) == 0
    said = capsys.readouterr().out
    assert "two\\nlines\\r\\nSet-Cookie: a=b\\x1b[2J" in said
    with trap(replies("404 Gone \x1b[2J\x9b", [])) as address:
        assert main(["explain", str(path), address, *options]) == USER_ERROR
    error = capsys.readouterr().err
    assert "404: Gone \\x1b[2J\\x9b" in error
    for text in (said, error):
        assert all(line.isprintable() for line in text.splitlines())
    assert said.count("\n") == 2
    assert error.count("\n") == 1
