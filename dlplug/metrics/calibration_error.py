"""How far the stated probabilities are from how often they come true."""

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassCalibrationError


class CalibrationError(MulticlassCalibrationError):
    """Expected calibration error: sum over bins of share * |accuracy - mean confidence|.

    Args:
        num_classes: Number of classes.
        num_bins: Equal bins of confidence between 0 and 1; each begins with its lower end, and the
            last one holds 1, too.
    References: Naeini et al. 2015; Guo et al. 2017, arXiv:1706.04599, eq. 3.
    """

    def __init__(self, num_classes: int, num_bins: int = 15):
        super().__init__(num_classes=num_classes, n_bins=num_bins, norm="l1")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add a batch.

        Args:
            preds: Probabilities, or scores, shape ``(N, C)``.
            target: Classes, shape ``(N,)``.
        """
        super().update(preds, target)
        # torchmetrics 1.9 puts 1 into a bin of its own; the largest number below is no other 1.
        sure = self.confidences[-1]
        self.confidences[-1] = sure.clamp(max=1 - torch.finfo(sure.dtype).eps / 2)
