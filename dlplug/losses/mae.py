"""Mean absolute error."""

from torch import Tensor, nn

from dlplug.losses.shapes import same_shape


def mae(output: Tensor, target: Tensor) -> Tensor:
    """Mean over all elements of ``|output - target|``; its best constant answer is the median.

    A record that is far off pulls no harder than any other.

    Args:
        output: Predictions, any shape, such as ``(B, K)``.
        target: The same shape.
    Returns:
        Scalar, float32 (float64 for float64 predictions), in the target's unit.
    Raises:
        ShapeError: the shapes differ.
    """
    output, target = same_shape("mae", output, target)
    return (output - target).abs().mean()


class MAELoss(nn.Module):
    """`mae` as a module."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """See `mae`."""
        return mae(output, target)
