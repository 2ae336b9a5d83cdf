"""Dice score of predicted and true regions, averaged over the classes."""

from torchmetrics.classification import MulticlassF1Score

from dlplug.nn.absent import IGNORED


class DiceScore(MulticlassF1Score):
    """Mean over the classes of 2 * intersection / (predicted + true pixels), over all images.

    A class that neither occurs nor is predicted is left out; so are pixels with the target -100.
    The same number as the F1 of the pixels, under the name that it has in segmentation.

    Args:
        num_classes: Number of classes.
    """

    def __init__(self, num_classes: int):
        super().__init__(num_classes=num_classes, average="macro", ignore_index=IGNORED)
