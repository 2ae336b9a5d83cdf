"""mean_over_present: classes without positives, or without negatives, are left out."""

import torch

from dlplug.metrics.presence import mean_over_present


def test_only_classes_that_can_be_judged_count():
    """Of four: all positive, none positive, and two with both."""
    is_positive = torch.tensor([[True, False, True, False], [True, False, False, True]])
    values = torch.tensor([9.0, 9.0, 0.5, 1.0])
    assert float(mean_over_present(lambda: values, is_positive)) == 0.75
