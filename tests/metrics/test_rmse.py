"""RMSE over all records and targets, against scikit-learn."""

import pytest
import torch
from sklearn.metrics import root_mean_squared_error

from dlplug.metrics.rmse import RMSE


def test_it_equals_scikit_learn():
    """Batches of different sizes give the number of all records at once."""
    output, target = torch.randn(2, 30, 2, generator=torch.Generator().manual_seed(0))
    metric = RMSE()
    for rows in (slice(0, 25), slice(25, 30)):
        metric.update(output[rows], target[rows])
    expected = root_mean_squared_error(target.flatten(), output.flatten())
    assert float(metric.compute()) == pytest.approx(expected, abs=1e-6)
