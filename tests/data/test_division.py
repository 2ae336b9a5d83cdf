"""Division: the ways to divide records, what is refused, and what is warned of."""

import lightning
import pytest
import torch

from dlplug.data.division import WAYS, Division
from dlplug.data.keys import Keys
from dlplug.data.record_split import random_split
from dlplug.data.split import stratified_split
from dlplug.errors import DataError, InvalidValueError
from tests.data.divided import EXPECTED, VALUES

KNOWN = dict.fromkeys(WAYS, "a column")


def division(by="fraction", key=None, known=KNOWN, validation=0.1, test=0.2, seed=0):
    shares = {"validation_fraction": validation, "test_fraction": test}
    return Division(by, key, known, **shares, seed=seed)


def keys(values):
    return Keys(values, lambda record: f"record {record}")


def plain(rows):
    return {name: part.tolist() for name, part in rows.items()}


@pytest.mark.parametrize("by", WAYS)
def test_by_key(by):
    """Each way, as worked out by hand."""
    assert plain(division(by, "x").rows(10, keys(VALUES[by]))) == EXPECTED[by]


def test_by_fraction():
    """Of each class its share where there are classes, else of all."""
    classes = torch.arange(40) % 2
    found = division().rows(40, classes=classes)
    assert plain(found) == plain(stratified_split(classes, 0.1, 0.2, 0))
    assert classes[found["test"]].sum() == 4 == len(found["validation"])
    assert plain(division(seed=3).rows(40)) == plain(random_split(40, 0.1, 0.2, 3))


@pytest.mark.parametrize("by", WAYS)
def test_the_seed_of_the_training_changes_nothing(by):
    """Trainings are compared on the same test records."""
    found = []
    for seed in (1, 2):
        lightning.seed_everything(seed, verbose=False)
        found.append(plain(division(by, "x").rows(10, keys(VALUES[by]))))
    assert found[0] == found[1]


def test_no_group_is_in_two_splits_and_the_latest_are_the_test():
    """Of a thousand records of a hundred patients, in any order."""
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(0)).tolist()
    patients = [i % 100 for i in order]
    groups = division("group", "x").rows(1000, keys(patients))
    members = {name: {patients[row] for row in rows} for name, rows in groups.items()}
    assert all(members.values())
    assert sum(map(len, members.values())) == 100 == len(set.union(*members.values()))
    times = division("time", "x").rows(1000, keys(order))
    found = {name: {order[row] for row in rows} for name, rows in times.items()}
    assert found["test"] == set(range(800, 1000)) and found["validation"] == set(range(700, 800))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"by": "chance"}, "data: split = 'chance'\n  known: fraction, column, group, time"),
        ({"by": "group", "known": {}}, "data: split = 'group'\n  known: fraction"),
        ({"by": "group"}, "split = 'group' without split_by\n  fix:   name a column in data.spl"),
        (
            {"key": "x"},
            "split_by = 'x' with split = 'fraction'\n"
            "  fix:   set data.split to column or group or time",
        ),
        ({"key": "x", "known": {}}, "with split = 'fraction'\n  fix:   delete data.split_by"),
        (
            {"by": "time", "key": "x", "seed": 3},
            "split_seed = 3 has no influence on split = 'time'",
        ),
        ({"seed": -1}, "data: split_seed = -1\n  known: 0 to 2**32 - 1"),
        ({"seed": 2**32}, "data: split_seed = 4294967296"),
        ({"by": "column", "key": "x", "seed": 3}, "has no influence on split = 'column'"),
    ],
)
def test_what_has_no_sense_or_no_effect_is_refused(arguments, message):
    """Before anything is read."""
    with pytest.raises(InvalidValueError) as error:
        division(**arguments)
    assert message in str(error.value)


def test_an_input_is_no_key():
    """Nor is a target."""
    division("group", "x").refuse_role("y", None)
    division().refuse_role("x", None)
    with pytest.raises(InvalidValueError, match="split_by = 'x' is an input or a target"):
        division("group", "x").refuse_role("y", "x")


def test_records_apart_leave_the_rest_to_be_divided():
    """Test records of their own: no others go there, and the share of the validation holds."""
    apart = {"test": keys(["p", "q"])}
    rows = division("group", "x").rows(10, keys(VALUES["group"]), apart=apart)
    assert plain(rows) == {"train": [0, 2, 3, 4, 6, 7, 8, 9], "validation": [1, 5], "test": []}
    rows = division("time", "x").rows(10, keys(VALUES["time"]), apart={"test": None})
    assert plain(rows)["validation"] == [1] and not len(rows["test"])
    rows = division(validation=0.5).rows(10, apart=dict.fromkeys(["validation", "test"]))
    assert plain(rows)["train"] == list(range(10))


def test_a_group_on_both_sides_is_named():
    """The test would be known from the training."""
    with pytest.raises(DataError, match="record 2: the group 'r' is among the test records"):
        division("group", "x").rows(10, keys(VALUES["group"]), apart={"test": keys(["q", "r"])})


def test_nothing_left_to_divide_is_an_error():
    """The config asks for what is done already; or a record asks for a split that is there."""
    both = dict.fromkeys(["validation", "test"])
    with pytest.raises(
        InvalidValueError, match="split = 'group', but validation and test"
    ) as error:
        division("group", "x").rows(10, keys(VALUES["group"]), apart=both)
    assert error.value.fix == "delete data.split and data.split_by"
    with pytest.raises(DataError, match="record 2: the test records are given apart"):
        division("column", "x").rows(10, keys(VALUES["column"]), apart={"test": None})


def test_no_training_records_are_an_error():
    """As when all records are one group of the test."""
    with pytest.raises(DataError, match="split = 'group', split_by = 'x' leaves no training rec"):
        division("group", "x", validation=0.0, test=0.25).rows(2, keys("rr"))


def test_a_split_without_records_is_warned_of():
    """Unless its share is 0: then nobody asked for it."""
    with pytest.warns(UserWarning, match="leaves no validation records: there are too few groups"):
        division("group", "x").rows(4, keys("abbr"))
    with pytest.warns(UserWarning, match="no test records: .* times for test_fraction = 0.2"):
        division("time", "x", validation=0.0).rows(4, keys("1111"))
    with pytest.warns(UserWarning, match="no validation records: .* too few records for valid"):
        division(test=0.5).rows(4)
    with pytest.warns(UserWarning, match="no test records: .* records of each class for test_"):
        division(validation=0.0).rows(20, classes=torch.arange(20))
    division("group", "x", validation=0.0, test=0.25).rows(4, keys("abbr"))
    division("time", "x", validation=0.0, test=0.0).rows(4, keys("1111"))


def test_positions_are_divided_in_order():
    """By shares, or where a column says that the parts begin."""
    parts = division().ranges(10)
    assert parts == {"train": range(7), "validation": range(7, 8), "test": range(8, 10)}
    said = keys(["train"] * 3 + ["val"] * 2 + ["test"])
    parts = division("column", "x").ranges(6, said)
    assert parts == {"train": range(3), "validation": range(3, 5), "test": range(5, 6)}
    with pytest.raises(DataError, match="record 2: train after validation") as error:
        division("column", "x").ranges(3, keys(["train", "val", "train"]))
    assert error.value.known == "train, validation, test, one after the other"
    with pytest.raises(InvalidValueError, match="split_seed = 1 has no influence on a division by"):
        division(seed=1).ranges(10)
