"""Harmonic mean of precision and recall, averaged over the labels."""

from torchmetrics.classification import MultilabelF1Score


class MultilabelF1(MultilabelF1Score):
    """Mean over the labels of 2 * precision * recall / (precision + recall).

    Every label counts the same, however rare; one that no record has and none is given counts 0.

    Args:
        num_classes: Number of labels.
        threshold: A label is given from this probability on, in ``(0, 1)``.
    """

    def __init__(self, num_classes: int, threshold: float = 0.5):
        super().__init__(num_labels=num_classes, threshold=threshold, average="macro")
