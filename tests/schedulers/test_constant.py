"""constant: the learning rate at every step."""

import pytest

from dlplug.errors import InvalidValueError
from dlplug.schedulers.constant import constant
from tests.schedulers.curves import rates, resumed_rates, sgd


def test_it_rises_and_stays():
    """Four steps up, then the full rate, past the end too."""
    expected = [0.5, 1.0, 1.5] + [2.0] * 9
    assert rates(constant, 12, total_steps=10, warmup=4) == pytest.approx(expected)
    assert resumed_rates(constant, 12, 2, total_steps=10, warmup=0.4) == pytest.approx(expected)


def test_a_long_warmup_is_refused():
    """Longer than the training."""
    with pytest.raises(InvalidValueError, match="warmup of 11 steps"):
        constant(sgd(), total_steps=10, warmup=11)
