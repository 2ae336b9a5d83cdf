"""AUROC against scikit-learn, and classes that do not occur."""

import math

import pytest
import torch
from sklearn.metrics import roc_auc_score

from dlplug.metrics.auroc import AUROC

SCORES = torch.rand(60, 4, generator=torch.Generator().manual_seed(0)).softmax(-1)
LABELS = torch.arange(60) % 3


def test_it_equals_scikit_learn_over_the_classes_that_occur():
    """Mean over three classes of four; the fourth never occurs, without a warning."""
    metric = AUROC(num_classes=4)
    for part in range(0, 60, 20):
        metric.update(SCORES[part : part + 20], LABELS[part : part + 20])
    each = [roc_auc_score(c == LABELS, SCORES[:, c]) for c in range(3)]
    assert float(metric.compute()) == pytest.approx(sum(each) / 3, abs=1e-6)


def test_a_single_class_cannot_be_judged():
    """NaN, and no number that looks like a result."""
    metric = AUROC(num_classes=4)
    metric.update(SCORES, torch.zeros_like(LABELS))
    assert math.isnan(float(metric.compute()))
