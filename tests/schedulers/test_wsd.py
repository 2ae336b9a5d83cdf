"""wsd: the learning rate at every step."""

import math

import pytest

from dlplug.errors import InvalidValueError
from dlplug.schedulers.wsd import wsd
from tests.schedulers.curves import rates, resumed_rates, sgd

FALLS = {"sqrt": lambda x: 1 - math.sqrt(x), "linear": lambda x: 1 - x}


@pytest.mark.parametrize("shape", ["sqrt", "linear"])
def test_it_equals_the_formula(shape):
    """Two steps up, four of the full rate, four down, and then it stays."""
    fall = [0.2 + 1.8 * FALLS[shape](k / 4) for k in range(4)]
    expected = [1.0, 2.0] + [2.0] * 4 + fall + [0.2] * 2
    arguments = {"total_steps": 10, "warmup": 2, "decay": 4, "shape": shape, "min_ratio": 0.1}
    assert rates(wsd, 12, **arguments) == pytest.approx(expected)
    assert resumed_rates(wsd, 12, 8, **arguments) == pytest.approx(expected)


def test_shares_are_of_all_steps():
    """0.2 and 0.4 of 10 steps."""
    shares = rates(wsd, 12, total_steps=10, warmup=0.2, decay=0.4)
    assert shares == rates(wsd, 12, total_steps=10, warmup=2, decay=4)


def test_a_longer_training_goes_on_at_the_full_rate():
    """What the schedule is for: resumed before the decay, only the new end counts."""
    arguments = {"total_steps": 20, "warmup": 2, "decay": 4}
    found = resumed_rates(wsd, 20, 6, before={"total_steps": 10}, **arguments)
    assert found == pytest.approx(rates(wsd, 20, **arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": "cube"}, "shape = 'cube'"),
        ({"decay": -0.1}, "decay = -0.1"),
        ({"decay": 1.5}, "decay = 1.5"),
        ({"warmup": 6, "decay": 6}, "6 steps of warmup and 6 of decay are more than the 10"),
        ({"min_ratio": 2}, "min_ratio = 2"),
    ],
)
def test_values_out_of_range_are_refused(arguments, message):
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match=message):
        wsd(sgd(), total_steps=10, **arguments)
