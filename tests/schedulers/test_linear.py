"""linear: the learning rate at every step."""

import pytest

from dlplug.errors import InvalidValueError
from dlplug.schedulers.linear import linear
from tests.schedulers.curves import rates, resumed_rates, sgd


def test_it_rises_and_falls_along_lines():
    """Four steps up, six down, and then it stays."""
    expected = [0.5, 1.0, 1.5, 2.0] + [2 - 1.6 * k / 6 for k in range(6)] + [0.4] * 3
    arguments = {"total_steps": 10, "warmup": 4, "min_ratio": 0.2}
    assert rates(linear, 13, **arguments) == pytest.approx(expected)
    assert resumed_rates(linear, 13, 6, **arguments) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("arguments", "message"), [({"warmup": 11}, "warmup of 11"), ({"min_ratio": -1}, "min_ratio")]
)
def test_values_out_of_range_are_refused(arguments, message):
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match=message):
        linear(sgd(), total_steps=10, **arguments)
