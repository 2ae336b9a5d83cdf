"""Huber loss: squared near the target, absolute far from it."""

import torch.nn.functional as F
from torch import Tensor, nn

from dlplug.errors import InvalidValueError
from dlplug.losses.shapes import same_shape


def huber(output: Tensor, target: Tensor, delta: float = 1.0) -> Tensor:
    """Mean over all elements, with e = output - target, of

    e^2 / 2 where |e| <= delta, and delta * (|e| - delta / 2) elsewhere.

    Args:
        output: Predictions, any shape, such as ``(B, K)``.
        target: The same shape.
        delta: Where the loss turns from squared to absolute, in the target's unit (standard
            deviations, where the data standardises its targets); > 0.
    Returns:
        Scalar, float32 (float64 for float64 predictions).
    Raises:
        ShapeError: the shapes differ.
    References: Huber 1964, Annals of Mathematical Statistics 35(1), p. 73.
    """
    output, target = same_shape("huber", output, target)
    return F.huber_loss(output, target, delta=delta)


class HuberLoss(nn.Module):
    """`huber` as a module.

    Args:
        delta: Where the loss turns from squared to absolute; > 0.
    Raises:
        InvalidValueError: ``delta`` is not above 0.
    """

    def __init__(self, delta: float = 1.0):
        super().__init__()
        if not delta > 0:
            raise InvalidValueError(f"loss huber: delta = {delta} is not above 0")
        self.delta = delta

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """See `huber`."""
        return huber(output, target, self.delta)
