"""Overlap of predicted and true regions, averaged over the classes."""

from torchmetrics.classification import MulticlassJaccardIndex

from dlplug.nn.absent import IGNORED


class MeanIoU(MulticlassJaccardIndex):
    """Mean over the classes of intersection / union, counted over all pixels of all images.

    A class that neither occurs nor is predicted is left out; so are pixels with the target -100.

    Args:
        num_classes: Number of classes.
    """

    def __init__(self, num_classes: int):
        super().__init__(num_classes=num_classes, average="macro", ignore_index=IGNORED)
