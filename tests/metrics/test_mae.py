"""MAE over all records and targets, against scikit-learn."""

import pytest
import torch
from sklearn.metrics import mean_absolute_error

from dlplug.metrics.mae import MAE


def test_it_equals_scikit_learn():
    """Batches of different sizes give the number of all records at once."""
    output, target = torch.randn(2, 30, 2, generator=torch.Generator().manual_seed(0))
    metric = MAE()
    for rows in (slice(0, 25), slice(25, 30)):
        metric.update(output[rows], target[rows])
    expected = mean_absolute_error(target.flatten(), output.flatten())
    assert float(metric.compute()) == pytest.approx(expected, abs=1e-6)
