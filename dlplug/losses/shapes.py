"""What the losses of numbers share: targets of the output's shape, raised to float32."""

import torch
from torch import Tensor

from dlplug.errors import ShapeError


def same_shape(name: str, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Output and target in float32 (float64 stays), of one shape.

    Without this check ``(B, 1)`` against ``(B,)`` would be spread to all pairs of records, and the
    loss would be a number that means nothing.

    Args:
        name: Of the loss, for the message.
        output: What the model gives, any shape.
        target: What it should have given, the same shape.
    Raises:
        ShapeError: the shapes differ.
    """
    if output.shape != target.shape:
        raise ShapeError(
            f"loss {name}: the output is {tuple(output.shape)}, the target {tuple(target.shape)};"
            " they must be of one shape"
        )
    dtype = torch.float64 if output.dtype == torch.float64 else torch.float32
    return output.to(dtype), target.to(dtype)
