"""The tables of the plugin README say what the code says."""

import re
from pathlib import Path

import dlplug.plugin
from dlplug.config.facts import BY_DATA, BY_TASK, facts_of
from dlplug.config.kinds import TRAITS
from dlplug.data.spec import COUNTS, FIELDS, SYNONYMS, DataSpec
from dlplug.plugin import KINDS, Status

FOLDER = Path(dlplug.plugin.__file__).parent
README = (FOLDER / "README.md").read_text()
EVERYTHING = {name: 1 if name in COUNTS else (1,) for name in FIELDS}
"""A value for each fact about the data."""


def rows(heading):
    """Rows of the table with the given first heading, as tuples of cells without backticks."""
    table = re.search(rf"^\| {heading} .*\n\|[-|]+\n((?:\|.*\n)+)", README, re.M).group(1)
    return [
        tuple(cell.strip().replace("`", "") for cell in row.strip("|").split(" | "))
        for row in table.splitlines()
    ]


def test_the_arguments_that_the_data_gives_are_listed():
    """Each that a network with all of them would be given, with its other names, in order."""
    facts = facts_of("architectures", DataSpec).arguments
    other = {name: [s for s, of in SYNONYMS.items() if of == name] for name in FIELDS}
    given = [argument for argument in facts if argument.filled_by in (BY_DATA, BY_TASK)]
    assert rows("argument") == [(a.name, ", ".join(other[a.name]), a.doc) for a in given]
    unlisted = {argument.name for argument in facts} - {argument.name for argument in given}
    assert {name for name in FIELDS if DataSpec(**EVERYTHING).value_for(name) is None} == unlisted


def test_the_kinds_whose_arguments_are_given_are_named():
    """In the sentence before that table."""
    filled = [KINDS[kind].singular for kind, traits in TRAITS.items() if traits.is_filled]
    (named,) = re.findall(r"An argument of an? ([^.]*?) that is called like", README)
    assert re.findall(r"architecture|loss|metric", named) == filled


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
