"""BadRows: what is said of bad records of a file, and where they go."""

import pytest
import torch

from dlplug.data.bad_rows import BadRows
from dlplug.data.division import Division
from dlplug.data.keys import Keys
from dlplug.errors import DataError

KNOWN = {"group": "a field", "column": "a field"}


def bad_rows(*rows):
    bad = BadRows()
    for row in rows:
        bad.add(row, DataError(f"a.csv, line {row + 1}: no number", fix="correct it"))
    return bad


def division(by="fraction", key=None):
    return Division(by, key, KNOWN, validation_fraction=0.2, test_fraction=0.2, seed=0)


def lists(rows):
    return {name: part.tolist() for name, part in rows.items()}


def test_the_only_bad_record_is_the_error():
    """As if it had been raised where it was met."""
    bad = bad_rows(4)
    with pytest.raises(DataError) as error:
        bad.check(0)
    assert error.value is bad[4]
    bad.check(1)


def test_several_bad_records_are_told_at_once():
    """The first three in the order of the file, and how many there are."""
    with pytest.raises(DataError) as error:
        bad_rows(9, 1, 5, 7).check(3)
    assert str(error.value) == (
        "a.csv, line 2: no number (and 3 more: a.csv, line 6: no number; a.csv, line 8: no number;"
        " ...)\n  fix:   correct it"
    )
    with pytest.raises(DataError, match=r"\(and 1 more: a.csv, line 6: no number\)"):
        bad_rows(5, 1).check(0)


def test_the_first_fault_of_a_record_counts():
    """A record may be bad in several ways."""
    bad = bad_rows(1)
    bad.add(1, DataError("something else"))
    assert "line 2" in bad[1].what


def test_good_records_are_what_statistics_come_from():
    """Everything else, in its order."""
    assert bad_rows(3, 0).good(torch.tensor([0, 1, 2, 3, 5])).tolist() == [1, 2, 5]
    assert bad_rows().good(torch.tensor([2, 1])).tolist() == [2, 1]


def test_a_bad_record_moves_no_other():
    """With its class known, or without classes, the division is that of the whole file."""
    classes = torch.arange(40) % 3
    assert lists(bad_rows(7, 8).divided(division(), 40)) == lists(division().rows(40))
    whole = lists(division().rows(40, None, classes))
    assert lists(bad_rows(7, 8).divided(division(), 40, None, classes)) == whole


def test_a_class_that_cannot_be_read_is_one_of_its_own():
    """Other classes are divided as before; all records are somewhere."""
    classes = torch.arange(40) % 3
    whole = division().rows(40, None, classes)
    classes[7] = -1  # was 1
    rows = bad_rows(7).divided(division(), 40, None, classes)
    for name, part in whole.items():
        of_others = part[part % 3 == 0].tolist()
        assert [row for row in rows[name].tolist() if row % 3 == 0] == of_others
    assert sorted([row for part in lists(rows).values() for row in part]) == list(range(40))


@pytest.mark.parametrize("by", ["group", "column"])
def test_what_belongs_to_no_group_or_split_trains(by):
    """A bad record has no key; the others stay with theirs."""
    names = ["train", "test", "val"]
    values = [f"p{row // 2}" if by == "group" else names[row % 3] for row in range(30)]
    whole = division(by, "key").rows(30, Keys(values, str))
    for row in (4, 29):
        values[row] = None
    rows = bad_rows(29, 4).divided(division(by, "key"), 30, Keys(values, str))
    for name, part in whole.items():
        kept = [row for row in part.tolist() if row not in (4, 29)]
        expected = sorted([*kept, 4, 29]) if name == "train" else kept
        assert rows[name].tolist() == expected


def test_a_missing_key_of_a_good_record_is_named_by_its_own_place():
    """Not by that of the record which stands there when the bad ones are left out."""
    values = ["a"] * 10
    values[6] = None
    with pytest.raises(DataError, match=r"^record 6: the group is missing"):
        bad_rows(2, 3).divided(division("group", "key"), 10, Keys(values, "record {}".format))
