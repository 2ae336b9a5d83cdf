"""Area under the precision-recall curve (PR-AUC). For several labels."""

from torch import Tensor
from torchmetrics.classification import MultilabelAveragePrecision
from torchmetrics.utilities.data import dim_zero_cat

from dlplug.metrics.presence import mean_over_present


class MultilabelAveragePrecision(MultilabelAveragePrecision):
    """Mean over the labels of the mean precision at each record with it, by falling score.

    Every label counts the same; one that all records have, or none, is left out.

    Args:
        num_classes: Number of labels.
    """

    def __init__(self, num_classes: int):
        super().__init__(num_labels=num_classes, average="none")

    def compute(self) -> Tensor:
        """Scalar in 0 ... 1; NaN where no label can be judged."""
        return mean_over_present(super().compute, dim_zero_cat(self.target) == 1)
