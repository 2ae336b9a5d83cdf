"""RecordMean: a mean over records, whatever the batches."""

import pytest
import torch

from dlplug.metrics.record_mean import RecordMean


def test_batches_count_by_their_records():
    """64 records of 1 and 51 of 2."""
    metric = RecordMean()
    metric.update(torch.tensor(1.0), 64)
    metric.update(torch.tensor(2.0), 51)
    assert float(metric.compute()) == pytest.approx((64 + 2 * 51) / 115)
    metric.reset()
    metric.update(torch.tensor(3.0), 1)
    assert float(metric.compute()) == 3.0


def test_nan_shows():
    """One batch without a value spoils the mean instead of being left out."""
    metric = RecordMean()
    metric.update(torch.tensor(1.0), 64)
    metric.update(torch.tensor(float("nan")), 1)
    assert metric.compute().isnan()


def test_float64_stays_float64():
    """Trainings in double precision report in double precision."""
    metric = RecordMean()
    metric.update(torch.tensor(0.1, dtype=torch.float64), 3)
    assert metric.compute().dtype == torch.float64
