"""The package as a whole: its wheel, its version, its public names."""

import importlib
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser

import pytest
from support.paths import ROOT

import keras_attnviz

pytestmark = pytest.mark.one_stack

PACKAGE = ROOT / "keras_attnviz"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a clean copy of the sources, so that no earlier build is mixed in."""
    source = tmp_path_factory.mktemp("source")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, source / "keras_attnviz", ignore=ignored)
    # Built with what is installed: a test must not need the package index.
    command = ["build", "--wheel", "--no-isolation", "--skip-dependency-check", str(source)]
    finished = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    with zipfile.ZipFile(next((source / "dist").glob("*.whl"))) as archive:
        yield archive


def test_the_wheel_holds_every_file_of_the_package(wheel):
    files = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "keras_attnviz/cli/main.py" in files
    assert files == {name for name in wheel.namelist() if ".dist-info/" not in name}


def test_the_wheel_tells_version_license_and_command(wheel):
    info = next(name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name)
    metadata = Parser().parsestr(wheel.read(f"{info}/METADATA").decode())
    assert metadata["Name"] == "keras-attnviz"
    assert metadata["Version"] == keras_attnviz.__version__
    assert {"vit", "demo", "test", "docs"} <= set(metadata.get_all("Provides-Extra"))
    assert any(name.startswith(info) and name.endswith("LICENSE") for name in wheel.namelist())
    entry_points = wheel.read(f"{info}/entry_points.txt").decode()
    assert "keras-attnviz = keras_attnviz.cli.main:main" in entry_points
    plugin = "attention = keras_attnviz.tb_plugin.loader:AttentionLoader"
    assert f"[tensorboard_plugins]\n{plugin}" in entry_points


@pytest.mark.parametrize(
    "module",
    [
        "keras_attnviz",
        "keras_attnviz.cli",
        "keras_attnviz.cli.main",
        "keras_attnviz.cli.board",
        "keras_attnviz.explain",
        "keras_attnviz.methods",
        "keras_attnviz.networks",
        "keras_attnviz.tb_plugin.loader",
        "keras_attnviz.tb_plugin.plugin",
    ],
)
def test_importing_loads_neither_tensorflow_nor_keras(module):
    code = f"import sys, {module}; print(sorted({{'tensorflow', 'keras'}} & set(sys.modules)))"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_rollout_model_needs_no_vit_keras():
    code = (
        "import sys\n"
        "sys.modules['vit_keras'] = None\n"
        "from keras_attnviz.explain import RolloutModel\n"
        "print(RolloutModel.__module__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "keras_attnviz.explain.rollout_model\n", done.stderr[-3000:]


@pytest.mark.parametrize("room", ["callbacks", "explain", "layers", "metrics"])
def test_rooms_hand_on_their_public_names(room):
    package = importlib.import_module(f"keras_attnviz.{room}")
    for path in (PACKAGE / room).glob("[a-z]*.py"):
        importlib.import_module(f"keras_attnviz.{room}.{path.stem}")
    for name in package.__all__:
        # Also where a module has the same name, and was imported before.
        assert callable(getattr(package, name)), name
        if name in keras_attnviz.__all__:
            assert getattr(package, name) is getattr(keras_attnviz, name)
    homes = {
        name: getattr(keras_attnviz, name).__module__
        for name in keras_attnviz.__all__
        if name != "__version__"
    }
    of_room = {name for name, home in homes.items() if home.startswith(f"keras_attnviz.{room}.")}
    assert of_room <= set(package.__all__)


def test_every_public_name_is_found():
    for name in keras_attnviz.__all__:
        assert getattr(keras_attnviz, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        _ = keras_attnviz.no_such_name


def test_the_version_is_that_of_the_newest_entry_in_the_changelog():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[?(\d+\.\d+\.\d+)", changelog, re.MULTILINE)
    assert newest[1] == keras_attnviz.__version__
