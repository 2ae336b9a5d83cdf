"""Huber loss against its formula."""

import pytest
import torch

from dlplug.errors import InvalidValueError
from dlplug.losses.huber import HuberLoss


def test_it_equals_the_formula():
    """e^2 / 2 up to delta, delta * (|e| - delta / 2) beyond."""
    error = torch.tensor([0.5, -2.0, 3.0, -4.0])
    expected = torch.tensor([0.125, 2.0, 2 * (3 - 1.0), 2 * (4 - 1.0)]).mean()
    torch.testing.assert_close(HuberLoss(2.0)(error, torch.zeros(4)), expected)


@pytest.mark.parametrize("delta", [0.0, -1.0, float("nan")])
def test_delta_must_be_positive(delta):
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match=f"delta = {delta} is not above 0"):
        HuberLoss(delta)
