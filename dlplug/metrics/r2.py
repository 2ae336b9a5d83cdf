"""Share of the targets' variance that the predictions explain."""

import torch
from torch import Tensor
from torchmetrics import R2Score


class R2(R2Score):
    """1 - sum (target - prediction)^2 / sum (target - mean)^2, averaged over the targets.

    1 is perfect, 0 as good as always predicting the mean of the measured targets.
    """

    def __init__(self):
        super().__init__(multioutput="uniform_average")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add a batch; both ``(B,)`` or ``(B, K)``."""
        # The variance is a difference of sums of squares: in float32 nothing would be left of it
        # for targets far from 0, such as years.
        super().update(preds.double(), target.double())

    def compute(self) -> Tensor:
        """Scalar; NaN for fewer than two records."""
        if self.total < 2:
            return torch.tensor(torch.nan, device=self.device)
        return super().compute()
