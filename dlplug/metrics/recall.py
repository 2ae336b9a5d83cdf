"""Of what is of a class, how much was found; averaged over the classes."""

from torchmetrics.classification import MulticlassRecall


class Recall(MulticlassRecall):
    """Mean over the classes of right predictions of a class / all records of it.

    Every class counts the same, however rare; one that neither occurs nor is predicted is left out.

    Args:
        num_classes: Number of classes.
    """

    def __init__(self, num_classes: int):
        super().__init__(num_classes=num_classes, average="macro")
