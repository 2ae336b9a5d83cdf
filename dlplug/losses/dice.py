"""Soft Dice loss: one minus the overlap of predicted and true regions, whatever their size."""

import torch.nn.functional as F
from torch import Tensor, nn

from dlplug.errors import InvalidValueError
from dlplug.nn.absent import IGNORED


def dice(
    output: Tensor, target: Tensor, smooth: float = 1.0, skip_background: bool = False
) -> Tensor:
    """Mean over the classes of ``1 - (2 sum p g + smooth) / (sum p^2 + sum g^2 + smooth)``.

    p = softmax(output), g = onehot(target); the sums go over all pixels of the batch, so that a
    class which an image lacks does not count as wrong there. Pixels with the target -100 take no
    part. Half-precision scores are raised to float32 first.

    Args:
        output: Unnormalised scores, shape ``(B, C, ...)``.
        target: Class of each pixel, shape ``(B, ...)``, int64; -100 where there is none.
        smooth: Added above and below, in pixels, so that an absent class has no loss; > 0.
        skip_background: Leave class 0 out of the mean.
    Returns:
        Scalar in ``[0, 1]``, float32 (float64 for float64 scores).
    References: Milletari et al. 2016, arXiv:1606.04797, section 3, over several classes.
    """
    scores = output if output.element_size() > 4 else output.float()
    is_known = target != IGNORED
    p = scores.softmax(dim=1) * is_known.unsqueeze(1)
    onehot = F.one_hot(target.where(is_known, 0), scores.shape[1]).movedim(-1, 1)
    g = onehot.to(p.dtype) * is_known.unsqueeze(1)
    axes = [0, *range(2, p.ndim)]
    overlap = (p * g).sum(axes)
    size = p.square().sum(axes) + g.square().sum(axes)
    loss = 1 - (2 * overlap + smooth) / (size + smooth)
    return loss[1:].mean() if skip_background else loss.mean()


class DiceLoss(nn.Module):
    """`dice` as a module.

    Args:
        smooth: Added above and below, in pixels; > 0.
        skip_background: Leave class 0 out of the mean.
    Raises:
        InvalidValueError: ``smooth`` is not above 0.
    """

    def __init__(self, smooth: float = 1.0, skip_background: bool = False):
        super().__init__()
        if not smooth > 0:
            raise InvalidValueError(f"loss dice: smooth = {smooth} is not above 0")
        self.smooth = smooth
        self.skip_background = skip_background

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """See `dice`."""
        return dice(output, target, self.smooth, self.skip_background)
