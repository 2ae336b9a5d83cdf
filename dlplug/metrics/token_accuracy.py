"""Share of positions whose token, or label, is right."""

import torch
from torch import Tensor
from torchmetrics import Metric

from dlplug.nn.absent import IGNORED


class TokenAccuracy(Metric):
    """Right positions / all positions with a target; -100 is no target."""

    full_state_update = False
    higher_is_better = True

    def __init__(self):
        super().__init__()
        self.add_state("right", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, scores: Tensor, target: Tensor) -> None:
        """Count scores ``(..., C)`` of classes ``(...)`` int64."""
        self.right = self.right + (scores.argmax(dim=-1) == target).sum()
        self.count = self.count + (target != IGNORED).sum()

    def compute(self) -> Tensor:
        """The share; NaN when there are no positions."""
        return self.right / self.count
