"""fill_gaps: what is missing is named or filled from before."""

import numpy as np
import pytest

from dlplug.data.series.gaps import check_fill, fill_gaps
from dlplug.errors import DataError, InvalidValueError

NAN = float("nan")
VALUES = np.array([[1.0, 5.0], [NAN, 6.0], [NAN, NAN], [4.0, 8.0]])


def place(row, column):
    return f"row {row}, column {column}"


def test_forward_repeats_the_value_before():
    """Column by column."""
    expected = [[1, 5], [1, 6], [1, 6], [4, 8]]
    assert fill_gaps(VALUES, "forward", place).tolist() == expected


def test_a_gap_is_named():
    """The first one, and how many there are."""
    with pytest.raises(DataError) as error:
        fill_gaps(VALUES, "error", place)
    assert "row 1, column 0: no value\n  known: 3 of 8 values" in str(error.value)
    assert "set data.fill to forward" in str(error.value)


def test_there_may_be_no_value_before():
    """A gap at the beginning cannot be filled."""
    with pytest.raises(DataError, match="row 0, column 0: no value, and none before it"):
        fill_gaps(VALUES[1:], "forward", place)


def test_an_unknown_way_of_filling():
    """The error lists the ways."""
    with pytest.raises(InvalidValueError, match="data x: fill = 'mean'\n  known: error, forward"):
        check_fill("mean", "x")
