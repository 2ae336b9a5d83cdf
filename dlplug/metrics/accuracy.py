"""Share of records whose class is right."""

from torchmetrics.classification import MulticlassAccuracy


class Accuracy(MulticlassAccuracy):
    """Right records / all records.

    Args:
        num_classes: Number of classes.
        top_k: A record is right when its class is among the ``top_k`` highest scores.
    """

    def __init__(self, num_classes: int, top_k: int = 1):
        # torchmetrics averages over the classes by default, which is not what people call accuracy.
        super().__init__(num_classes=num_classes, top_k=top_k, average="micro")
