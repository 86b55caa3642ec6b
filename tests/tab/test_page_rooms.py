"""The rooms of the Attention tab's page: who may import whom, and that its modules are checked."""

import graphlib
import posixpath
import re

import pytest
from support.paths import ROOT

pytestmark = pytest.mark.one_stack


STATIC = ROOT / "keras_attnviz" / "tb_plugin" / "static"
TOP = "index, app, screen"
# `import ... from "./a.js"`, `import("./a.js")`, and of types `@import { A } from "./a.js"`.
IMPORTED = re.compile(r"""(?:\bfrom\s+|\bimport\s*\(?\s*)["'](\.[^"']*)["']""")
MODULES = sorted(
    path.relative_to(STATIC).as_posix()
    for path in STATIC.rglob("*.js")
    if "vendor" not in path.relative_to(STATIC).parts
)


def room_table():
    """Returns {room: rooms that it imports}, top first, from the documentation."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"^## The rooms of the page\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \| ([^|]+) \|$", section, re.M)
    return {room.rstrip("/"): set(re.findall(r"\w+", rooms)) - {"none"} for room, rooms in rows}


def room_of(name):
    """Returns a module's folder, or the table's first row for those that stand in none."""
    folder, _, _ = name.rpartition("/")
    return folder or TOP


def imports_of(name):
    """Returns the modules that a module imports, also those of which it imports types alone."""
    text = (STATIC / name).read_text(encoding="utf-8")
    folder = posixpath.dirname(name)
    return {posixpath.normpath(posixpath.join(folder, each)) for each in IMPORTED.findall(text)}


def test_the_check_sees_each_way_to_import():
    assert "lib/dom.js" in imports_of("index.js")
    assert "app.js" in imports_of("index.js")
    assert "state/resolve.js" in imports_of("page/player.js")  # its types alone
    assert "charts/chart_lines.js" in imports_of("charts/chart.js")  # over several lines


def test_each_folder_has_a_row_and_imports_only_what_stands_below_it():
    table = room_table()
    folders = {path.name for path in STATIC.iterdir() if path.is_dir()}
    assert set(table) == {TOP, *folders}
    rooms = list(table)
    for floor, room in enumerate(rooms):
        assert table[room] <= set(rooms[floor + 1 :])


@pytest.mark.parametrize("room", room_table())
def test_a_room_imports_what_the_table_says(room):
    own = [name for name in MODULES if room_of(name) == room]
    found = {room_of(each) for name in own for each in imports_of(name)}
    assert found - {room} == room_table()[room]


def test_what_is_imported_is_there_and_runs_in_no_circle():
    graph = {name: imports_of(name) for name in MODULES}
    for name, imported in graph.items():
        assert all((STATIC / each).is_file() for each in imported), name
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError


@pytest.mark.parametrize("name", MODULES)
def test_the_types_of_every_module_are_checked(name):
    lines = (STATIC / name).read_text(encoding="utf-8").splitlines()
    assert lines[0] == "// @ts-check"
    assert lines[1].startswith("/**")


def test_every_style_sheet_of_our_own_is_imported_once():
    text = (STATIC / "style.css").read_text(encoding="utf-8")
    imported = re.findall('^@import "(.+)";$', text, re.MULTILINE)
    sheets = {path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*.css")}
    by_charts = {"charts/charts.css", "vendor/uPlot.min.css"}
    assert sorted(imported) == sorted(sheets - by_charts - {"style.css"})
