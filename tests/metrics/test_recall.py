"""Recall, averaged over the classes, against scikit-learn."""

import pytest
import torch
from sklearn.metrics import recall_score

from dlplug.metrics.recall import Recall


def test_it_equals_scikit_learn():
    """Mean over three classes of different sizes."""
    scores = torch.rand(60, 3, generator=torch.Generator().manual_seed(0)).softmax(-1)
    labels = torch.tensor([0] * 40 + [1] * 15 + [2] * 5)
    metric = Recall(num_classes=3)
    metric.update(scores, labels)
    expected = recall_score(labels, scores.argmax(-1), average="macro")
    assert float(metric.compute()) == pytest.approx(expected, abs=1e-6)
