"""How far the stated probabilities are from how often they come true."""

from torchmetrics.classification import MulticlassCalibrationError


class CalibrationError(MulticlassCalibrationError):
    """Expected calibration error: sum over bins of share * |accuracy - mean confidence|.

    Args:
        num_classes: Number of classes.
        num_bins: Equal bins of confidence between 0 and 1.
    References: Naeini et al. 2015; Guo et al. 2017, arXiv:1706.04599, eq. 3.
    """

    def __init__(self, num_classes: int, num_bins: int = 15):
        super().__init__(num_classes=num_classes, n_bins=num_bins, norm="l1")
