"""Feed-forward network: linear layers with a nonlinearity between them."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import Tensor, nn

from dlplug.errors import InvalidValueError


class MLP(nn.Module):
    """Rows of numbers, or images flattened to rows, to class scores.

    x -> [Linear -> ReLU -> Dropout] for each hidden width -> Linear -> scores.

    Args:
        num_outputs: C, width of the output.
        num_features: D, numbers in a record; None to count the pixels of an image.
        in_channels: Channels of an image; used only without ``num_features``.
        image_size: Height and width of an image in pixels; used only without ``num_features``.
        hidden: Width of each hidden layer; empty for a linear model.
        dropout: Share of hidden values set to 0 while training, in ``[0, 1)``.
    Raises:
        InvalidValueError: a value out of range, or no size of the input.
    """

    def __init__(
        self,
        num_outputs: int,
        num_features: int | None = None,
        in_channels: int | None = None,
        image_size: int | tuple[int, int] | None = None,
        hidden: Sequence[int] = (256, 256),
        dropout: float = 0.0,
    ):
        super().__init__()
        if not 0 <= dropout < 1 or any(width < 1 for width in hidden):
            raise InvalidValueError(
                f"architecture mlp: hidden = {list(hidden)}, dropout = {dropout};"
                " widths must be 1 or more and dropout in [0, 1)"
            )
        widths = [input_width(num_features, in_channels, image_size), *hidden]
        layers: list[nn.Module] = [nn.Flatten()]
        for width, next_width in pairwise(widths):
            layers += [nn.Linear(width, next_width), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], num_outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Scores ``(B, C)`` of records ``(B, D)`` or of anything that flattens to that."""
        return self.layers(x)


def input_width(
    num_features: int | None,
    in_channels: int | None,
    image_size: int | tuple[int, int] | None,
) -> int:
    """Numbers in a flattened record.

    Raises:
        InvalidValueError: neither the features nor the image are given.
    """
    if num_features is not None:
        return num_features
    if in_channels is None or image_size is None:
        raise InvalidValueError(
            "architecture mlp: the size of the input is unknown",
            known="num_features, or in_channels and image_size",
            fix="let the data module publish one of them in its data_spec, or set it",
        )
    sides = (image_size, image_size) if isinstance(image_size, int) else image_size
    return in_channels * prod(sides)
