"""Focal loss: cross-entropy that cares less about records which are already right."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlplug.errors import InvalidValueError, ShapeError
from dlplug.losses.cross_entropy import class_weight_tensor
from dlplug.nn.absent import IGNORED

# The derivative of x ** gamma is infinite at 0 for gamma < 1; this is far below any effect.
TINY = 1e-12


def focal(
    output: Tensor, target: Tensor, gamma: float = 2.0, alpha: Tensor | None = None
) -> Tensor:
    """Mean over the batch of ``-alpha_t (1 - p_t)^gamma log p_t``, p = softmax(output).

    With gamma 0 and no alpha it is the cross-entropy. Half-precision scores are raised to float32.
    What has the target -100 takes no part.

    Args:
        output: Unnormalised scores, shape ``(B, C)`` or ``(B, C, ...)``.
        target: Class of each record or pixel, shape ``(B,)`` or ``(B, ...)``, int64.
        gamma: How fast the weight of a record falls as its probability rises; >= 0.
        alpha: Weight of each class, shape ``(C,)``, or None for 1.
    Returns:
        Scalar, float32 (float64 for float64 scores); 0, with a gradient of 0, where no target
        takes part.
    Raises:
        ShapeError: ``alpha`` is not ``(C,)``.
    References: Lin et al. 2017, arXiv:1708.02002, eq. 5, over several classes.
    """
    scores = output if output.dtype == torch.float64 else output.float()
    is_known = target != IGNORED
    target = target.where(is_known, 0)
    log_p = F.log_softmax(scores, dim=1).gather(1, target.unsqueeze(1)).squeeze(1)
    # -expm1 keeps 1 - p exact where p is near 1, which is where gamma matters.
    loss = -((-torch.expm1(log_p)).clamp_min(TINY) ** gamma) * log_p
    if alpha is not None:
        if len(alpha) != scores.shape[1]:
            raise ShapeError(
                f"loss focal: alpha has {len(alpha)} weights for {scores.shape[1]} classes"
            )
        loss = loss * alpha.to(loss.dtype)[target]
    # A product instead of a selection: its size is known without waiting for a GPU.
    return (loss * is_known).sum() / is_known.sum().clamp(min=1)


class FocalLoss(nn.Module):
    """`focal` as a module.

    Args:
        gamma: Focus; 0 gives the cross-entropy.
        alpha: Weight of each class in the order of the labels, or None for 1.
    Raises:
        InvalidValueError: a value out of range.
    """

    def __init__(self, gamma: float = 2.0, alpha: Sequence[float] | None = None):
        super().__init__()
        if gamma < 0:
            raise InvalidValueError(f"loss: gamma = {gamma} is below 0")
        self.gamma = gamma
        self.register_buffer("alpha", class_weight_tensor("alpha", alpha))

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """See `focal`."""
        return focal(output, target, self.gamma, self.alpha)
