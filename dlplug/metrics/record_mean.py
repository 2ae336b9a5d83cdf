"""Mean over all records of values that are known per batch."""

import torch
from torch import Tensor
from torchmetrics import Metric


class RecordMean(Metric):
    """Sum of ``value * count`` / sum of ``count``, over batches and processes.

    Neither library does it exactly: Lightning 2.6.6 rounds the records per process down when it
    logs a mean over several processes, and torchmetrics 1.9's weighted mean either leaves NaN out
    or, told to keep it, forgets the weights. NaN must show.

    Args:
        finite_only: Leave out batches whose value is not finite, as a training leaves out their
            steps; NaN shows when none is finite.
    """

    full_state_update = False

    def __init__(self, finite_only: bool = False):
        super().__init__()
        self.finite_only = finite_only
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, value: Tensor, count: int | Tensor) -> None:
        """Add a batch of ``count`` records, or of that weight, with the mean ``value``."""
        if self.finite_only:
            is_finite = torch.isfinite(value)
            value, count = torch.where(is_finite, value, 0.0), count * is_finite
        self.total = self.total + value * count
        self.count = self.count + count

    def compute(self) -> Tensor:
        """The mean; NaN when there are no records."""
        return self.total / self.count
