"""Norms of images ``(B, C, H, W)``, chosen by name."""

from math import gcd

from torch import Tensor, nn

from dlplug.errors import InvalidValueError
from dlplug.nn.layer_norm import LayerNorm

NORMS = ("batch", "group", "layer")
# Channels are divided into as many groups as this and their number allow.
# Wu, He 2018, arXiv:1803.08494, section 4.1.
GROUPS = 32


class ChannelLayerNorm(LayerNorm):
    """Layer norm over the channels of each pixel; images ``(B, C, H, W)`` in and out."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Normalise each pixel."""
        return super().forward(x_BCHW.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def image_norm(kind: str, channels: int, architecture: str) -> nn.Module:
    """A norm with a scale and a shift for each channel.

    Args:
        kind: ``batch``, over the batch and all pixels; ``group``, over groups of channels and all
            pixels of one image; ``layer``, over the channels of one pixel.
        channels: C.
        architecture: Its name, for the message.
    Raises:
        InvalidValueError: no such norm.
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        return nn.GroupNorm(gcd(GROUPS, channels), channels)
    if kind == "layer":
        return ChannelLayerNorm(channels)
    raise InvalidValueError(f"architecture {architecture}: norm = {kind!r}", known=", ".join(NORMS))
