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


def test_one_record_has_no_variance():
    """NaN, and no error in the middle of a training."""
    metric = R2()
    metric.update(torch.ones(1, 1), torch.ones(1, 1))
    assert math.isnan(float(metric.compute()))
