"""divisor: what is spread is divided by its deviation, and nothing by rounding errors."""

import numpy as np
import pytest

from dlplug.data.deviation import divisor


def divisor_of(values):
    values = np.array(values)
    return divisor(values, values.std(axis=0)).tolist()


@pytest.mark.parametrize("unit", [1e-100, 1e-13, 1.0, 1e100])
def test_the_unit_plays_no_part(unit):
    """0 and 2 have the deviation 1."""
    assert divisor_of([[0.0, 5.0], [2 * unit, 5.0]]) == [pytest.approx(unit), 1.0]


def test_equal_numbers_are_divided_by_1():
    """Although the deviation of these is above 0."""
    values = np.full((333, 1), 1e-3)
    assert values.std(axis=0) > 0
    assert divisor_of(values) == [1.0] == divisor_of([[0.0], [0.0]])


@pytest.mark.parametrize("unit", [1e-20, 1.0, 1e15])
def test_rounding_errors_are_no_spread(unit):
    """0.1 + 0.2 is no 0.3: divided by their difference, 0.4 would be 4e15."""
    values = np.array([0.3, 0.1 + 0.2])
    assert values[0] != values[1]
    assert divisor_of(values * unit) == 1.0


def test_a_deviation_that_is_too_small_for_a_number_is_1():
    """Nothing is divided by 0."""
    assert divisor_of([0.0, 1e-200]) == 1.0
