"""R2 against scikit-learn, also far from 0."""

import math

import pytest
import torch
from sklearn.metrics import r2_score

from dlplug.metrics.r2 import R2


@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_it_equals_scikit_learn(offset):
    """Mean over two targets; a large mean of the targets takes no digits away."""
    output, target = torch.randn(2, 40, 2, generator=torch.Generator().manual_seed(0))
    output, target = target + output / 3 + offset, target + offset
    metric = R2()
    for rows in (slice(0, 30), slice(30, 40)):
        metric.update(output[rows], target[rows])
    assert float(metric.compute()) == pytest.approx(
        r2_score(target.double(), output.double()), abs=1e-5
    )


def test_the_data_says_what_lies_far_from_0():
    """Nothing is left of the variance of numbers around 1e9 without their mean."""
    output, target = torch.randn(2, 40, 2, generator=torch.Generator().manual_seed(0)).double()
    expected = r2_score(target, output)
    found = {}
    for mean in (None, (1e9, -1e9)):
        metric = R2(mean)
        level = torch.tensor([[1e9, -1e9]], dtype=torch.float64)
        metric.update(output + level, target + level)
        found[mean] = float(metric.compute())
    assert found[(1e9, -1e9)] == pytest.approx(expected, abs=1e-5)
    assert abs(found[None] - expected) > 1e-2  # without it, so that the test shows something


def test_one_record_has_no_variance():
    """NaN, and no error in the middle of a training."""
    metric = R2()
    metric.update(torch.ones(1, 1), torch.ones(1, 1))
    assert math.isnan(float(metric.compute()))
