"""MultilabelAveragePrecision against scikit-learn, and labels that no record has."""

import pytest
import torch
from sklearn.metrics import average_precision_score

from dlplug.metrics.multilabel_average_precision import MultilabelAveragePrecision

SCORES = torch.rand(60, 3, generator=torch.Generator().manual_seed(0))
LABELS = (torch.arange(60)[:, None] % torch.tensor([2, 3, 100]) == 1).long()
LABELS[1, 2] = 0


def test_it_equals_scikit_learn_over_the_labels_that_occur():
    """Mean over two labels of three; no record has the third."""
    metric = MultilabelAveragePrecision(num_classes=3)
    metric.update(SCORES, LABELS)
    each = [average_precision_score(LABELS[:, c], SCORES[:, c]) for c in range(2)]
    assert float(metric.compute()) == pytest.approx(sum(each) / 2, abs=1e-6)
