"""MultilabelF1 against scikit-learn."""

import pytest
import torch
from sklearn.metrics import f1_score

from dlplug.metrics.multilabel_f1 import MultilabelF1


@pytest.mark.parametrize("threshold", [0.5, 0.2])
def test_it_equals_scikit_learn(threshold):
    """Mean over three labels; those above the threshold count as given."""
    scores = torch.rand(60, 3, generator=torch.Generator().manual_seed(0))
    labels = (torch.arange(60)[:, None] % torch.tensor([2, 3, 7]) == 1).long()
    metric = MultilabelF1(num_classes=3, threshold=threshold)
    metric.update(scores, labels)
    expected = f1_score(labels, scores > threshold, average="macro")
    assert float(metric.compute()) == pytest.approx(expected, abs=1e-6)
