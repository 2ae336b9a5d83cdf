"""mase: the error in units of the naive one."""

import pytest
import torch

from dlplug.errors import InvalidValueError
from dlplug.metrics.mase import MASE


def test_errors_are_scaled_by_target():
    """Over batches, steps and targets."""
    metric = MASE([2.0, 4.0])
    target = torch.zeros(2, 3, 2)
    metric.update(target + 2, target)
    metric.update(target, target)
    assert float(metric.compute()) == pytest.approx((1 + 0.5 + 0 + 0) / 4)


@pytest.mark.parametrize("errors", [[], [0.0]])
def test_a_scale_is_above_zero(errors):
    """Nothing is divided by 0."""
    with pytest.raises(InvalidValueError, match="metric mase: naive_error"):
        MASE(errors)
