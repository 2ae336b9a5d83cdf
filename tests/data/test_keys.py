"""Keys: texts, splits and times of records, and errors that name the place."""

from datetime import date, datetime, timedelta, timezone

import numpy as np
import pytest

from dlplug.data.keys import Keys
from dlplug.errors import DataError


def keys(*values):
    return Keys(values, lambda record: f"a.csv, line {record + 2}")


def test_texts_have_no_blanks_around_them():
    """Numbers and dates as they are written."""
    found = keys(" p1 ", 7, 2.5, date(2024, 5, 31)).texts("group")
    assert found == ["p1", "7", "2.5", "2024-05-31"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "a.csv, line 3: the group is missing"),
        (" ", "a.csv, line 3: the group is missing"),
        (float("nan"), "a.csv, line 3: the group is missing"),
        ([1, 2], "a.csv, line 3: [1, 2] is no text, number or date"),
        ({}, "a.csv, line 3: {} is no text, number or date"),
    ],
)
def test_what_is_no_key_is_named(value, message):
    """With its place."""
    with pytest.raises(DataError) as error:
        keys("a", value).texts("group")
    assert error.value.what == message


def test_every_fault_is_found_by_itself():
    """Each with the place of its own record."""
    keys = Keys(["train", "tarin", None, "Test"], "record {}".format)
    assert [(row, error.what) for row, error in keys.faults("column").items()] == [
        (1, "record 1: 'tarin' is no split"),
        (2, "record 2: the split is missing"),
    ]
    assert list(keys.faults("group")) == [2] and list(keys.faults("time")) == [0, 1, 2, 3]
    assert Keys(["2024-05-31", "1"], str).faults("time") == {}


def test_splits_have_many_names():
    """The words people use, in any case."""
    assert keys("train", "Val", " TEST", "training", "dev", "valid").splits() == [
        "train", "validation", "test", "train", "validation", "validation",
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"a.csv, line 3: 'holdout' is no split") as error:
        keys("train", "holdout", "holdout").splits()
    assert error.value.known == "train, training, validation, valid, val, dev, test"
    with pytest.raises(DataError, match="line 2: the split is missing"):
        keys(None).splits()


@pytest.mark.parametrize(
    "values",
    [
        (3, 10, 2.5, 10),
        ("3", "10", "2.5", "10"),
        ("2024-02-03", "2024-10-01", "2024-01-31", "2024-10-01"),
        (date(2024, 2, 3), date(2024, 10, 1), date(2024, 1, 31), date(2024, 10, 1)),
        ("2024-05-31T08:00", "2024-05-31 09:00:00", "2024-05-31", "2024-05-31T09:00"),
        # 10:00 in a zone two hours ahead is 08:00 in UTC.
        ("2024-05-31T10:00:01+02:00", "2024-05-31T09:00Z", "2024-05-31T10:00+02:00",
         datetime(2024, 5, 31, 8, tzinfo=timezone(timedelta(hours=-1)))),
    ],
)  # fmt: skip
def test_times_are_sorted_by_what_they_mean(values):
    """Numbers not as texts, dates not by their form, zones by the moment; equal ones are equal."""
    assert np.unique(keys(*values).times(), return_inverse=True)[1].tolist() == [1, 2, 0, 2]


def test_columns_of_numbers_are_taken_as_they_are():
    """NaN is a missing time."""
    assert Keys(np.array([2.0, 1.0]), str).times().tolist() == [2, 1]
    with pytest.raises(DataError, match=r"^1: the time is missing"):
        Keys(np.array([2.0, np.nan]), str).times()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("2024-01-01", "soon"), "a.csv, line 3: 'soon' is no time"),
        (("2024-01-01", "31.12.2024"), "a.csv, line 3: '31.12.2024' is no time"),
        (("soon", "2024-01-01"), "a.csv, line 2: 'soon' is no time"),
        ((1, "nan"), "a.csv, line 3: 'nan' is no time"),
        ((1, "1_000"), "a.csv, line 3: '1_000' is no time"),
        ((1, ""), "a.csv, line 3: the time is missing"),
        ((1, 2, "2024-01-01"), "line 4: '2024-01-01' is a date, and the first time is a number"),
        (
            ("2024-01-01T00:00", "2024-01-01T00:00Z"),
            "line 3: '2024-01-01T00:00Z' is a date with a time zone, and the first time is a date",
        ),
    ],
)
def test_what_is_no_time_is_named(values, message):
    """With what would be one; times of two kinds have no order."""
    with pytest.raises(DataError) as error:
        keys(*values).times()
    assert error.value.what.endswith(message)
    if "missing" not in message:
        assert error.value.known == "numbers, or dates such as 2024-05-31 or 2024-05-31T08:00"
