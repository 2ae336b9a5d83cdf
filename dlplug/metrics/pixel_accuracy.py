"""Share of pixels whose class is right."""

from torchmetrics.classification import MulticlassAccuracy

from dlplug.nn.absent import IGNORED


class PixelAccuracy(MulticlassAccuracy):
    """Right pixels / all pixels but those with the target -100.

    Args:
        num_classes: Number of classes.
    """

    def __init__(self, num_classes: int):
        super().__init__(num_classes=num_classes, average="micro", ignore_index=IGNORED)
