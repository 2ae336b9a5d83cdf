"""Of what was called a class, how much is of it; averaged over the classes."""

from torchmetrics.classification import MulticlassPrecision


class Precision(MulticlassPrecision):
    """Mean over the classes of right predictions of a class / all predictions of it.

    Every class counts the same, however rare; one that neither occurs nor is predicted is left out.

    Args:
        num_classes: Number of classes.
    """

    def __init__(self, num_classes: int):
        super().__init__(num_classes=num_classes, average="macro")
