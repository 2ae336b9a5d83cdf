"""Mean squared error."""

from torch import Tensor, nn

from dlplug.losses.shapes import same_shape


def mse(output: Tensor, target: Tensor) -> Tensor:
    """Mean over all elements of ``(output - target)^2``; its best constant answer is the mean.

    Args:
        output: Predictions, any shape, such as ``(B, K)``.
        target: The same shape.
    Returns:
        Scalar, float32 (float64 for float64 predictions), in the square of the target's unit.
    Raises:
        ShapeError: the shapes differ.
    """
    output, target = same_shape("mse", output, target)
    return (output - target).square().mean()


class MSELoss(nn.Module):
    """`mse` as a module."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """See `mse`."""
        return mse(output, target)
