"""The tables of the plugin README say what the code says."""

import re
from pathlib import Path

import dlplug.plugin
from dlplug.plugin import KINDS, Status

FOLDER = Path(dlplug.plugin.__file__).parent
README = (FOLDER / "README.md").read_text()


def rows(heading):
    """Rows of the table with the given first heading, as tuples of cells without backticks."""
    table = re.search(rf"^\| {heading} .*\n\|[-|]+\n((?:\|.*\n)+)", README, re.M).group(1)
    return [
        tuple(cell.strip().replace("`", "") for cell in row.strip("|").split(" | "))
        for row in table.splitlines()
    ]


def test_the_kinds_are_listed():
    """Group, slot and meaning of each kind, in order."""
    kinds = [(kind.group, kind.slot or "none", kind.summary) for kind in KINDS.values()]
    assert rows("entry-point group") == kinds


def test_the_statuses_are_listed():
    """Each status, in order."""
    assert [row[0] for row in rows("status")] == [str(status) for status in Status]


def test_the_files_are_listed():
    """Each file of the package, and no other."""
    listed = [name for row in rows("file") for name in row[0].split(", ")]
    assert sorted(listed) == sorted(p.name for p in FOLDER.glob("[a-z]*.py"))
