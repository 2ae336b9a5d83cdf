"""cosine_cycles: the learning rate at every step."""

import math

import pytest

from dlplug.errors import InvalidValueError
from dlplug.schedulers.cosine_cycles import cosine_cycles
from tests.schedulers.curves import rates, resumed_rates, sgd


def test_it_equals_the_formula():
    """Ten steps in three cycles: of four, four and two steps."""
    expected = [1 + math.cos(math.pi * (k % 4) / 4) for k in range(10)]
    assert rates(cosine_cycles, 10, total_steps=10, cycles=3) == pytest.approx(expected)
    assert resumed_rates(cosine_cycles, 10, 5, total_steps=10, cycles=3) == pytest.approx(expected)
    assert cosine_cycles(sgd(), total_steps=10, cycles=3).steps_per_cycle == 4


@pytest.mark.parametrize("cycles", [0, 11])
def test_values_out_of_range_are_refused(cycles):
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match=f"cycles = {cycles}"):
        cosine_cycles(sgd(), total_steps=10, cycles=cycles)
