"""Writes the tables of docs/models.md from tests/zoo/table.py, the table that the tests run.

Run it after changing that table: python docs/models_table.py
"""

import re
import sys
from pathlib import Path

DOCS = Path(__file__).parent
PAGE = DOCS / "models.md"
# The table needs no TensorFlow; its models are built only when a test asks for one.
sys.path.insert(0, str(DOCS.parent / "tests"))

from zoo.family import EVERY_STACK  # noqa: E402
from zoo.table import SECTIONS  # noqa: E402

_REGION = re.compile(r"(<!-- tables -->\n).*(<!-- end of tables -->)", flags=re.DOTALL)


def with_tables(page):
    """Returns the page's text with its tables replaced."""
    tables = "\n".join(_section(title, families) for title, families in SECTIONS.items())
    return _REGION.sub(lambda found: f"{found[1]}\n{tables}\n{found[2]}", page)


def _section(title, families):
    rows = [
        "| family | from | run on | what comes out |",
        "|---|---|---|---|",
        *(
            f"| {family.name} | {family.origin} | {_stacks(family)} | {_outcome(family)} |"
            for family in families
        ),
    ]
    return "\n".join([f"### {title}", "", *rows, ""])


def _stacks(family):
    return "every stack" if family.stacks == EVERY_STACK else ", ".join(family.stacks)


def _outcome(family):
    if family.error:
        return f"an error: {family.note}"
    maps = " + ".join(f"{maps.count} {maps.kind}" for maps in family.maps)
    parts = [
        maps,
        f"heatmap {_frames(family)}{family.grid[0]} x {family.grid[1]}",
        *([f"prefix {family.prefix}"] if family.prefix else []),
        *([f"suffix {family.suffix}"] if family.suffix else []),
        f"head reads: {family.readout}",
        *([f"left out: {len(family.left_out)}"] if family.left_out else []),
        *(f"`{name}={value!r}`" for name, value in family.options.items()),
        *([family.note] if family.note else []),
    ]
    return "; ".join(parts)


def _frames(family):
    return f"{family.frames} x " if family.frames else ""


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
