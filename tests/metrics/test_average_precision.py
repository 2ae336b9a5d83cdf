"""Average precision against scikit-learn."""

import pytest
import torch
from sklearn.metrics import average_precision_score

from dlplug.metrics.average_precision import AveragePrecision

SCORES = torch.rand(60, 4, generator=torch.Generator().manual_seed(0)).softmax(-1)
LABELS = torch.arange(60) % 3


def test_it_equals_scikit_learn_over_the_classes_that_occur():
    """Mean over three classes of four; the fourth never occurs, without a warning."""
    metric = AveragePrecision(num_classes=4)
    metric.update(SCORES, LABELS)
    each = [average_precision_score(c == LABELS, SCORES[:, c]) for c in range(3)]
    assert float(metric.compute()) == pytest.approx(sum(each) / 3, abs=1e-6)
