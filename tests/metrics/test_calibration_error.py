"""Expected calibration error, by hand."""

import pytest
import torch

from dlplug.metrics.calibration_error import CalibrationError


def test_it_is_the_gap_between_confidence_and_accuracy():
    """Four records of confidence 0.9 of which two are right: a gap of 0.4."""
    metric = CalibrationError(num_classes=2, num_bins=10)
    probabilities = torch.tensor([[0.9, 0.1]] * 4)
    metric.update(probabilities, torch.tensor([0, 0, 1, 1]))
    assert float(metric.compute()) == pytest.approx(0.4, abs=1e-6)


def test_bins_are_weighted_by_their_records():
    """Three sure and right records and one that is 0.6 sure and wrong."""
    metric = CalibrationError(num_classes=2, num_bins=10)
    probabilities = torch.tensor([[1.0, 0.0]] * 3 + [[0.6, 0.4]])
    metric.update(probabilities, torch.tensor([0, 0, 0, 1]))
    assert float(metric.compute()) == pytest.approx(0.6 / 4, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_probability_of_1_falls_into_the_last_bin(dtype):
    """With 0.97 and 0.95: a mean of 0.98, three of four right. In bins apart: 0.25 + 0.02."""
    metric = CalibrationError(num_classes=2)
    sure = torch.tensor([1.0, 1.0, 0.97, 0.95], dtype=dtype)
    metric.update(torch.stack([sure, 1 - sure], dim=1), torch.tensor([0, 1, 0, 0]))
    expected = sure.double().mean() - 0.75
    # A mean of four in that precision.
    assert float(metric.compute()) == pytest.approx(float(expected), abs=torch.finfo(dtype).eps)
