"""F1, averaged over the classes, against scikit-learn."""

import pytest
import torch
from sklearn.metrics import f1_score

from dlplug.metrics.f1 import F1


def test_it_equals_scikit_learn():
    """Mean over three classes of different sizes."""
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.rand(60, 3, generator=generator).softmax(-1)
    labels = torch.tensor([0] * 40 + [1] * 15 + [2] * 5)
    metric = F1(num_classes=3)
    metric.update(probabilities, labels)
    expected = f1_score(labels, probabilities.argmax(-1), average="macro")
    assert float(metric.compute()) == pytest.approx(expected, abs=1e-6)
