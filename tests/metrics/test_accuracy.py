"""Accuracy: right records over all records."""

import torch

from dlplug.metrics.accuracy import Accuracy

PROBABILITIES = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.5, 0.3, 0.2], [0.4, 0.35, 0.25]])
LABELS = torch.tensor([0, 1, 1, 2])


def test_it_counts_records_not_classes():
    """Two of four records are right, though no class weighs the same."""
    metric = Accuracy(num_classes=3)
    metric.update(PROBABILITIES, LABELS)
    assert metric.compute() == 0.5


def test_batches_add_up():
    """Batches of one and three give what all four give."""
    metric = Accuracy(num_classes=3)
    metric.update(PROBABILITIES[:1], LABELS[:1])
    metric.update(PROBABILITIES[1:], LABELS[1:])
    assert metric.compute() == 0.5


def test_top_k_accepts_a_second_guess():
    """With two guesses the third record is right too."""
    metric = Accuracy(num_classes=3, top_k=2)
    metric.update(PROBABILITIES, LABELS)
    assert metric.compute() == 0.75
