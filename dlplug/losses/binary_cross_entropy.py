"""Binary cross-entropy of label scores, with label smoothing and weights of positives."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlplug.errors import InvalidValueError
from dlplug.losses.shapes import same_shape


def binary_cross_entropy(
    output: Tensor,
    target: Tensor,
    label_smoothing: float = 0.0,
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Mean over records and labels of ``-(w q log p + (1 - q) log(1 - p))``, p = sigmoid(output).

    q = (1 - label_smoothing) * target + label_smoothing / 2. Half-precision scores are raised to
    float32.

    Args:
        output: Unnormalised scores, any shape, such as ``(B, C)``.
        target: 0 or 1 (or a share between them), the same shape.
        label_smoothing: Share of the target that is moved to the middle, in ``[0, 1)``.
        pos_weight: w, weight of each label where it is present, shape ``(C,)``, or None for 1.
    Returns:
        Scalar, float32 (float64 for float64 scores).
    Raises:
        ShapeError: the shapes differ.
    """
    output, target = same_shape("binary_cross_entropy", output, target)
    smoothed = (1 - label_smoothing) * target + label_smoothing / 2
    weight = None if pos_weight is None else pos_weight.to(output.dtype)
    return F.binary_cross_entropy_with_logits(output, smoothed, pos_weight=weight)


class BinaryCrossEntropyLoss(nn.Module):
    """`binary_cross_entropy` as a module.

    Args:
        label_smoothing: Share of the target that is moved to the middle, in ``[0, 1)``.
        pos_weight: Weight of each label where it is present, or one number for all; None for 1.
    Raises:
        InvalidValueError: a value out of range.
    """

    def __init__(
        self, label_smoothing: float = 0.0, pos_weight: float | Sequence[float] | None = None
    ):
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise InvalidValueError(
                f"loss binary_cross_entropy: label_smoothing = {label_smoothing} is not in [0, 1)"
            )
        weights = [pos_weight] if isinstance(pos_weight, (int, float)) else pos_weight
        if weights is not None and (not weights or not all(w > 0 for w in weights)):
            raise InvalidValueError(
                f"loss binary_cross_entropy: pos_weight = {pos_weight} must be above 0"
            )
        self.label_smoothing = label_smoothing
        tensor = None if weights is None else torch.tensor(weights, dtype=torch.float32)
        self.register_buffer("pos_weight", tensor)

    def check_target(self, target: Tensor) -> None:
        """The targets of a batch are 0, 1, or shares between them.

        Not asked in each step, where a GPU would have to be waited for.

        Raises:
            InvalidValueError: one is not, for which the loss would have no lower bound.
        """
        wrong = ~((target >= 0) & (target <= 1))
        if wrong.any():
            raise InvalidValueError(
                f"loss binary_cross_entropy: a target is {float(target[wrong][0]):g}, which is not"
                " in [0, 1]",
                known="labels of 0 and 1, and shares between them",
                fix="choose a loss for numbers, such as mse",
            )

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """See `binary_cross_entropy`."""
        return binary_cross_entropy(output, target, self.label_smoothing, self.pos_weight)
