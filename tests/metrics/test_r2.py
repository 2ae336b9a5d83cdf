"""R2 against scikit-learn, also far from 0."""

import math
from copy import deepcopy

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


def test_it_takes_nothing_from_the_data():
    """A run's config would hold it, and other data could not go with that config."""
    with pytest.raises(TypeError, match="target_mean"):
        R2(target_mean=(1.0,))


@pytest.mark.parametrize("level", [0.0, 1e9, -1e12])
def test_nothing_is_lost_far_from_0(level):
    """In batches, and merged as the processes of a training do it, one of which had none."""
    output, target = torch.randn(2, 40, 2, generator=torch.Generator().manual_seed(0)).double()
    expected = r2_score(target, output)
    level = torch.tensor([[level, -level]], dtype=torch.float64)
    # float64 holds a target of 1e12 to 1e-4.
    whole, parts = R2(), [R2() for _ in range(3)]
    for i, rows in enumerate((slice(0, 1), slice(1, 30), slice(30, 40))):
        for metric in (whole, parts[min(i, 1)]):
            metric.update(output[rows] + level, target[rows] + level)
    assert float(whole.compute()) == pytest.approx(expected, abs=1e-3)
    absent = torch.zeros(4, 2, dtype=torch.float64)
    for order in (
        [absent, *(part.moments for part in parts[:2])],
        [p.moments for p in parts[1::-1]],
    ):
        together = deepcopy(whole)
        together.moments = together._reductions["moments"](torch.stack(order))
        assert float(together.compute()) == pytest.approx(expected, abs=1e-3)
    parts[0].merge_state(parts[1])
    assert float(parts[0].compute()) == pytest.approx(expected, abs=1e-3)


def test_equal_targets_have_no_variance():
    """1 where they are met, 0 where not, also over several batches."""
    target = torch.full((3, 1), 0.1, dtype=torch.float64)
    for error, expected in ((0.0, 1.0), (0.5, 0.0)):
        metric = R2()
        for count in (3, 1):
            metric.update(target[:count] + error, target[:count])
        assert float(metric.compute()) == expected


def test_one_record_has_no_variance():
    """NaN, and no error in the middle of a training."""
    metric = R2()
    metric.update(torch.ones(1, 1), torch.ones(1, 1))
    assert math.isnan(float(metric.compute()))
