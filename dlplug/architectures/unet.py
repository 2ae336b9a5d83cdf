"""U-Net: scores for each pixel, from the whole image and from the pixel's neighbourhood.

Ronneberger, Fischer, Brox 2015, arXiv:1505.04597, figure 1; with padded convolutions, so that the
output is as large as the image, and norms. Names end in their shape:

    B  images    C  channels    H, W  height, width
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlplug.errors import InvalidValueError
from dlplug.nn.image_norm import image_norm


class UNet(nn.Module):
    """Images ``(B, C, H, W)`` of any size to scores for each pixel.

    Down: two convolutions, then a pooling that halves the image, for each width but the last. Up:
    a transposed convolution, what stood at this size on the way down beside it, two convolutions.

    Reaches: a mean IoU of 0.585 over 11 classes on the test scenes of
    `configs/digit_scenes_unet.yaml`.

    Args:
        num_outputs: Scores for each pixel.
        in_channels: C.
        widths: Channels at each size, from the full one down; the paper's are 64 to 1024.
        norm: ``batch``, ``group`` or ``layer``.
        dropout: Share of the channels set to 0 while training at the smallest size.
    Raises:
        InvalidValueError: a value out of range.
    """

    def __init__(
        self,
        num_outputs: int,
        in_channels: int,
        widths: Sequence[int] = (32, 64, 128),
        norm: str = "batch",
        dropout: float = 0.0,
    ):
        super().__init__()
        if not widths or min(widths) < 1 or not 0 <= dropout < 1:
            raise InvalidValueError(
                f"architecture unet: widths = {list(widths)}, dropout = {dropout};"
                " at least one width, of 1 or more, and dropout in [0, 1)"
            )
        pairs = list(pairwise([in_channels, *widths]))
        self.down = nn.ModuleList(twice(before, after, norm) for before, after in pairs)
        # From the smallest size up; each takes twice its width: its own, and what stood there.
        upwards = list(pairwise(reversed(widths)))
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(low, high, 2, 2) for low, high in upwards)
        self.up = nn.ModuleList(twice(2 * high, high, norm) for _, high in upwards)
        self.dropout = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(widths[0], num_outputs, 1)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Scores ``(B, num_outputs, H, W)``."""
        height, width = x_BCHW.shape[2:]
        x_BCHW = pad_to_multiple(x_BCHW, 2 ** (len(self.down) - 1))
        kept = []
        for i, layers in enumerate(self.down):
            x_BCHW = layers(x_BCHW if i == 0 else F.max_pool2d(x_BCHW, 2))
            kept.append(x_BCHW)
        x_BCHW = self.dropout(kept.pop())
        for enlarge, layers in zip(self.enlarge, self.up, strict=True):
            x_BCHW = layers(torch.cat([kept.pop(), enlarge(x_BCHW)], dim=1))
        return self.head(x_BCHW)[:, :, :height, :width]

    def depth_order(self) -> list[str]:
        """Names of the parts from the input on, for the callback layer_decay."""
        upwards = [f"{part}.{i}" for i in range(len(self.up)) for part in ("enlarge", "up")]
        return [f"down.{i}" for i in range(len(self.down))] + upwards


def twice(before: int, after: int, norm: str) -> nn.Sequential:
    """Two 3 x 3 convolutions, each with a norm and a ReLU."""
    layers: list[nn.Module] = []
    for width in (before, after):
        layers += [
            nn.Conv2d(width, after, 3, padding=1, bias=False),
            image_norm(norm, after, "unet"),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)


def pad_to_multiple(x_BCHW: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column until both sides are multiples of ``multiple``."""
    height, width = x_BCHW.shape[2:]
    more = (-width % multiple, -height % multiple)
    if more == (0, 0):
        return x_BCHW
    # Edges rather than zeros: a black margin is an object to the network.
    return F.pad(x_BCHW, (0, more[0], 0, more[1]), mode="replicate")
