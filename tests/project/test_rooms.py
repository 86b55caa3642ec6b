"""The rooms of the package: the table in docs/architecture.md, and which way imports run."""

import ast
import re

import pytest
from support.paths import ROOT

pytestmark = pytest.mark.one_stack

PACKAGE = ROOT / "keras_attnviz"
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
# What TensorBoard's process must not load.
NOT_IN_TENSORBOARD = {"tensorflow", "keras", "tf_keras"}
# `capture` has two rooms of its own, the upper one first.
INNER_ROOMS = ("capture.tokens", "capture.graph")


def dotted(path):
    """Returns the name of a module below the package, of an `__init__.py` that of its folder."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# Paths of all modules by their names below the package; the package itself is left out.
MODULES = {dotted(path): path for path in sorted(PACKAGE.rglob("*.py")) if dotted(path)}
ROOMS = sorted({name.split(".")[0] for name in MODULES})


def floors():
    """Returns the floor of every room, from the table in the documentation."""
    rows = re.findall(r"^\| (\d) \| `(\w+)` \|", ARCHITECTURE, re.MULTILINE)
    return {room: int(floor) for floor, room in rows}


def imported_names(path):
    """Returns the full names that a file imports, also inside its functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_modules(path):
    """Returns the modules of this package that a file imports."""
    own = [name for name in imported_names(path) if name.startswith("keras_attnviz.")]
    return {_module_of(name.removeprefix("keras_attnviz.")) for name in own}


def _module_of(name):
    """Returns the module that a name below the package is, or stands in."""
    parts = name.split(".")
    heads = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((head for head in heads if head in MODULES), name)


def room_of(module):
    return module.split(".")[0]


def test_the_table_lists_every_room_and_no_other():
    assert sorted(floors()) == ROOMS


@pytest.mark.parametrize("room", [room for room in ROOMS if (PACKAGE / room).is_dir()])
def test_every_folder_says_in_one_line_what_it_holds(room):
    folders = [PACKAGE / room, *(path.parent for path in (PACKAGE / room).rglob("*.py"))]
    for folder in set(folders):
        docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8")))
        assert re.match(r".{20,}\.(\n|$)", docstring), folder


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_from_its_own_room_and_from_rooms_below(module):
    floor = floors()
    own = room_of(module)
    above = {
        name
        for name in imported_modules(MODULES[module])
        if room_of(name) != own and floor[room_of(name)] >= floor[own]
    }
    assert not above


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("capture.")])
def test_the_rooms_within_capture_import_downward_too(module):
    rooms = ("capture", *INNER_ROOMS)

    def depth(name):
        return max(index for index, room in enumerate(rooms) if f"{name}.".startswith(f"{room}."))

    own = {name for name in imported_modules(MODULES[module]) if room_of(name) == "capture"}
    assert not [name for name in own if depth(name) < depth(module)]


@pytest.mark.parametrize("room", ROOMS)
def test_no_circle_within_a_room(room):
    within = {
        name: imported_modules(path) for name, path in MODULES.items() if room_of(name) == room
    }
    reached = {name: set(found) & set(within) for name, found in within.items()}
    for _ in within:
        for name, found in reached.items():
            reached[name] = found.union(*(reached[other] for other in found))
    assert not [name for name, found in reached.items() if name in found]


@pytest.mark.parametrize("module", [name for name in MODULES if room_of(name) == "tb_plugin"])
def test_what_tensorboard_imports_is_neither_tensorflow_nor_keras(module):
    packages = {name.split(".")[0] for name in imported_names(MODULES[module])}
    assert not packages & NOT_IN_TENSORBOARD
    rooms = {room_of(name) for name in imported_modules(MODULES[module])}
    assert rooms <= {"tb_plugin", "_checks"}


def test_the_package_itself_imports_its_version_alone():
    assert imported_modules(PACKAGE / "__init__.py") == {"_version"}


def test_every_module_that_the_page_names_is_there():
    table = ARCHITECTURE.split("## Where to look")[1].split("## Rooms")[0]
    named = re.findall(r"`([a-z_]+(?:/[a-z_0-9]+)+(?:\.\w+)?)`", table)
    assert len(named) > 10
    for name in named:
        assert (PACKAGE / (name if "." in name else f"{name}.py")).is_file(), name
    for module, item in re.findall(r"`([a-z_/]+)`: (?:the table )?`(\w+)`", table):
        assert item in (PACKAGE / f"{module}.py").read_text(encoding="utf-8"), item
