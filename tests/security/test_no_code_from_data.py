"""What is read from files and logs is data: nothing unpickles, evaluates or imports it."""

import ast
import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from support.attention_logs import EventFile, MadeUpTraining
from support.plugin_server import LOADERS, Tab
from zoo.small_vits import SMALL, weight_arrays

import keras_attnviz
from keras_attnviz import read_log
from keras_attnviz.callbacks.history import History
from keras_attnviz.networks.pretrained import build_vit
from keras_attnviz.tb_plugin import metadata

pytestmark = pytest.mark.one_stack

PACKAGE = Path(keras_attnviz.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
PAGES = sorted(path for path in (PACKAGE / "tb_plugin" / "static").rglob("*.js"))
UNSAFE_MODULES = {
    "cloudpickle",
    "code",
    "codeop",
    "ctypes",
    "dill",
    "joblib",
    "jsonpickle",
    "marshal",
    "pickle",
    "pty",
    "runpy",
    "shelve",
    "tarfile",
    "xml",
    "yaml",
}
UNSAFE_CALLS = {"eval", "exec", "__import__", "system", "popen", "extractall", "loads"}
# Where a process is started or a module is named by a text, and by what: never by what was read.
STARTS = {
    "networks/img_focus.py": "subprocess",
    "cli/elpv.py": "importlib",
    "__init__.py": "importlib",
    "explain/__init__.py": "importlib",
}


def calls_in(path):
    """Yields `(name, call)` of all calls in a file, of `a.b.c()` the name "a.b.c"."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_makes_code_or_objects_of_what_it_reads(path):
    imported = set(imports_of(path))
    assert not imported & UNSAFE_MODULES
    assert imported & {"subprocess", "importlib"} <= {
        STARTS.get(path.relative_to(PACKAGE).as_posix())
    }
    for name, call in calls_in(path):
        last = name.split(".")[-1]
        options = {option.arg: ast.unparse(option.value) for option in call.keywords}
        assert name == "json.loads" or last not in UNSAFE_CALLS
        assert name != "compile"
        assert "shell" not in options
        if name in ("np.load", "numpy.load"):
            assert options["allow_pickle"] == "False"
        if last == "load_model":
            assert options["safe_mode"] == "not trust"
        if last in ("save", "savez", "savez_compressed"):
            assert options.get("allow_pickle", "False") == "False"


def test_the_check_sees_what_it_is_to_find():
    (path,) = (path for path in SOURCES if path.name == "history.py")
    assert "np.load" in dict(calls_in(path))
    assert "json" in set(imports_of(path))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_page_makes_code_or_markup_of_texts(path):
    unsafe = r"\beval\(|new Function|innerHTML|outerHTML|insertAdjacentHTML|document\.write\b"
    unsafe += r"|srcdoc|setAttribute\(\s*[\"'`]on|javascript:|DOMParser|createContextualFragment"
    assert re.findall(unsafe, path.read_text(encoding="utf-8")) == []


class Mark:
    """What makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "ran"


def hostile_npz(path, mark, **arrays):
    np.savez(path, **arrays, hostile=np.array([Mark(mark)], dtype=object))
    return path


def test_the_hostile_file_is_hostile(tmp_path, mark):
    path = hostile_npz(tmp_path / "a.npz", mark)
    with np.load(path, allow_pickle=True) as arrays:
        arrays["hostile"]
    assert mark.exists()


@pytest.mark.vit_keras
def test_a_weight_file_runs_nothing(tmp_path, mark):
    arrays = weight_arrays(SMALL)
    arrays["cls"] = np.array([Mark(mark)], dtype=object)
    np.savez(tmp_path / "weights.npz", **arrays)
    with pytest.raises(ValueError, match=r"`weights` must be a file in vit-keras's layout"):
        build_vit(SMALL, image_size=32, weights=str(tmp_path / "weights.npz"))
    pickled = tmp_path / "pickled.npz"
    pickled.write_bytes(pickle.dumps(Mark(mark)))
    with pytest.raises(ValueError, match=r"`weights` must be an \.npz file"):
        build_vit(SMALL, image_size=32, weights=str(pickled))
    assert not mark.exists()


class Monitor:
    def identity(self):
        return {"probes": "a", "model": "b"}


@pytest.mark.parametrize("name", ["baseline.npz", "last.npz"])
def test_a_state_that_was_kept_runs_nothing(tmp_path, mark, name):
    folder = tmp_path / "attention"
    folder.mkdir()
    identity = json.dumps(Monitor().identity())
    hostile_npz(folder / name, mark, identity=identity, entropy=np.zeros(1))
    for content in (None, pickle.dumps(Mark(mark))):
        if content is not None:
            (folder / name).write_bytes(content)
        history = History.resume(str(tmp_path), Monitor(), epoch=5)
        assert history.baseline is None
        assert history.last is None
        assert history.logged is None
    assert not mark.exists()


@pytest.mark.parametrize("loader", LOADERS)
def test_a_log_with_pickles_in_it_runs_nothing(tmp_path, mark, loader):
    training, hostile = MadeUpTraining(names=("a",)), pickle.dumps(Mark(mark))
    with EventFile(tmp_path / "logs" / "attention") as file:
        training.write(file, (-1, 0))
        file.blobs(0, metadata.SETUP_TAG, [hostile, hostile])
        file.record(0, metadata.EPOCH_TAG, hostile)
        file.record(0, metadata.heat_tag("rollout"), hostile)
        file.blobs(1, metadata.HEADS_TAG, [hostile])
    log = read_log(tmp_path / "logs")
    assert log.steps.tolist() == [-1, 0]  # as far as a record that can be read stands before
    assert len(log.problems) == 4
    with LOADERS[loader](tmp_path / "logs") as source:
        tab = Tab(source)
        assert len(tab.parts("epochs", run="attention")) == 1
        tab.bytes("heat", run="attention", method="rollout", probe=0)
        keys = tab.json("keys", run="attention", kind="heads", probe=0)["keys"]
        assert tab.parts("blobs", key=keys)[-1] == b""
    assert not mark.exists()
