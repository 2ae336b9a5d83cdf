"""Harmonic mean of precision and recall, averaged over the classes."""

from torchmetrics.classification import MulticlassF1Score


class F1(MulticlassF1Score):
    """Mean over the classes of 2 * precision * recall / (precision + recall).

    Every class counts the same, however rare; one that neither occurs nor is predicted is left out.

    Args:
        num_classes: Number of classes.
    """

    def __init__(self, num_classes: int):
        super().__init__(num_classes=num_classes, average="macro")
