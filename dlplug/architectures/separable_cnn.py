"""Depthwise-separable network: space and channels are mixed by turns, at a ninth of the cost.

Howard et al. 2017, arXiv:1704.04861 (MobileNet), section 3. Names end in their shape:

    B  images    C  channels    H, W  height, width
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from dlplug.errors import InvalidValueError
from dlplug.nn.image_norm import image_norm


class SeparableCNN(nn.Module):
    """Images to class scores through 3 x 3 depthwise and 1 x 1 pointwise convolutions.

    Conv 3 x 3 -> [depthwise 3 x 3 -> pointwise] for each further width -> mean -> Linear, with a
    norm and a ReLU after each convolution. A block halves the image where the width grows, but
    for the first block, as in the paper's table 1.

    Reaches: all 40 test images of `configs/faces_separable_cnn.yaml`.

    Args:
        num_outputs: Width of the output.
        in_channels: Channels of an image.
        widths: Channels after the first convolution and after each block.
        width_multiplier: Factor of all widths (the paper's alpha); above 0.
        stem_stride: Of the first convolution: 1, or 2 as in the paper, for large images.
        norm: ``batch``, ``group`` or ``layer``.
        dropout: Share of the pooled features set to 0 while training.
    Raises:
        InvalidValueError: a value out of range.
    """

    def __init__(
        self,
        num_outputs: int,
        in_channels: int,
        widths: Sequence[int] = (32, 64, 128, 128, 256, 256),
        width_multiplier: float = 1.0,
        stem_stride: int = 1,
        norm: str = "batch",
        dropout: float = 0.0,
    ):
        super().__init__()
        _check(widths, width_multiplier, stem_stride, dropout)
        widths = [max(1, round(width * width_multiplier)) for width in widths]
        first = nn.Conv2d(in_channels, widths[0], 3, stem_stride, 1, bias=False)
        layers: list[nn.Module] = [*activated(first, norm)]
        for i, (width, next_width) in enumerate(pairwise(widths)):
            stride = 2 if i and next_width > width else 1
            depthwise = nn.Conv2d(width, width, 3, stride, 1, groups=width, bias=False)
            layers += activated(depthwise, norm)
            layers += activated(nn.Conv2d(width, next_width, 1, bias=False), norm)
        self.layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(widths[-1], num_outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # fan_out counts a depthwise convolution as if it saw all channels.
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Scores ``(B, num_outputs)`` of images ``(B, C, H, W)``."""
        return self.head(self.dropout(self.layers(x_BCHW).mean(dim=(2, 3))))


def activated(convolution: nn.Conv2d, norm: str) -> list[nn.Module]:
    """A convolution with what follows it."""
    return [convolution, image_norm(norm, convolution.out_channels, "separable_cnn"), nn.ReLU()]


def _check(widths, width_multiplier, stem_stride, dropout) -> None:
    if not widths or min(widths) < 1 or not width_multiplier > 0:
        raise InvalidValueError(
            f"architecture separable_cnn: widths = {list(widths)},"
            f" width_multiplier = {width_multiplier}; at least one width, of 1 or more, and a"
            " multiplier above 0"
        )
    if stem_stride not in (1, 2) or not 0 <= dropout < 1:
        raise InvalidValueError(
            f"architecture separable_cnn: stem_stride = {stem_stride}, dropout = {dropout}",
            known="stem_stride: 1, 2; dropout: in [0, 1)",
        )
