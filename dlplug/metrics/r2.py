"""Share of the targets' variance that the predictions explain."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import R2Score


class R2(R2Score):
    """1 - sum (target - prediction)^2 / sum (target - mean)^2, averaged over the targets.

    1 is perfect, 0 as good as always predicting the mean of the measured targets.

    Args:
        target_mean: What is subtracted from each of K targets and its predictions, which changes
            nothing but rounding; filled in from the data. None for 0.
    """

    def __init__(self, target_mean: Sequence[float] | None = None):
        super().__init__(multioutput="uniform_average")
        self.target_mean = None if target_mean is None else tuple(target_mean)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add a batch; both ``(B,)`` or ``(B, K)``."""
        # The variance is a difference of sums of squares: for targets far from 0 nothing would be
        # left of it, in float32 for years, in float64 for nanoseconds.
        preds, target = preds.double(), target.double()
        if self.target_mean is not None:
            mean = target.new_tensor(self.target_mean)
            preds, target = preds - mean, target - mean
        super().update(preds, target)

    def compute(self) -> Tensor:
        """Scalar; NaN for fewer than two records."""
        if self.total < 2:
            return torch.tensor(torch.nan, device=self.device)
        return super().compute()
