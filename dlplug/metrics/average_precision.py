"""Area under the precision-recall curve (PR-AUC)."""

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassAveragePrecision
from torchmetrics.utilities.data import dim_zero_cat

from dlplug.metrics.presence import mean_over_present


class AveragePrecision(MulticlassAveragePrecision):
    """Mean over the classes of the mean precision at each record of the class, by falling score.

    Every class counts the same; one that does not occur is left out.

    Args:
        num_classes: Number of classes.
    """

    def __init__(self, num_classes: int):
        super().__init__(num_classes=num_classes, average="none")

    def compute(self) -> Tensor:
        """Scalar in 0 ... 1; NaN where only one class occurs."""
        target = dim_zero_cat(self.target)
        is_positive = target[:, None] == torch.arange(self.num_classes, device=target.device)
        return mean_over_present(super().compute, is_positive)
