"""How many equally likely tokens a language model is as unsure as."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from dlplug.nn.absent import IGNORED


class Perplexity(Metric):
    """exp of the mean negative log-likelihood of the tokens; log2 of it is bits per token.

    Positions with the target -100 do not count. Label smoothing and other changes of the loss do
    not touch it.
    """

    full_state_update = False
    higher_is_better = False

    def __init__(self):
        super().__init__()
        # Summed in float64: a validation split has millions of tokens.
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, scores: Tensor, target: Tensor) -> None:
        """Count unnormalised scores ``(..., C)`` of tokens ``(...)`` int64."""
        scores = scores.flatten(0, -2)
        scores = scores if scores.dtype == torch.float64 else scores.float()
        loss = F.cross_entropy(scores, target.flatten(), reduction="sum")
        self.total = self.total + loss.to(self.total.dtype)
        self.count = self.count + (target != IGNORED).sum()

    def compute(self) -> Tensor:
        """The perplexity; NaN when there are no tokens."""
        return (self.total / self.count).exp().float()
