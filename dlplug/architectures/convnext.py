"""ConvNeXt: a convolutional network with the habits of a transformer.

Liu et al. 2022, arXiv:2201.03545, section 2 and figure 4. Names end in their shape:

    B  images    C  channels    H, W  height, width    D  channels of a stage (dim)
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dlplug.errors import InvalidValueError
from dlplug.nn import LayerNorm
from dlplug.nn.image_norm import ChannelLayerNorm
from dlplug.nn.stochastic_depth import StochasticDepth, depth_rates


class ConvNeXt(nn.Module):
    """Images to class scores: patches, then stages of blocks, each at half the size of the last.

    Reaches: 97.6 % of the test images of `configs/mnist_convnext.yaml`.

    Args:
        num_outputs: Width of the output.
        in_channels: C.
        dims: D of each stage.
        depths: Blocks of each stage, as many numbers as ``dims``.
        patch_size: Side of a patch in pixels; 4 in the paper, 1 or 2 for small images.
        kernel_size: Side of the depthwise convolution in pixels; odd.
        layer_scale: First value of each channel's factor of a block's update; the paper's 1e-6
            suits long trainings, 0.1 or 1 short ones.
        stochastic_depth: Share of the last block's updates left out while training; see
            `dlplug.nn.stochastic_depth`.
        dropout: Share of the pooled features set to 0 while training.
    Raises:
        InvalidValueError: a value out of range.
    """

    def __init__(
        self,
        num_outputs: int,
        in_channels: int,
        dims: Sequence[int] = (48, 96, 192),
        depths: Sequence[int] = (2, 2, 2),
        patch_size: int = 2,
        kernel_size: int = 7,
        layer_scale: float = 1e-6,
        stochastic_depth: float = 0.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        _check(dims, depths, patch_size, kernel_size, layer_scale, dropout)
        rates = iter(depth_rates(stochastic_depth, sum(depths), "convnext"))
        layers: list[nn.Module] = []
        for stage, (dim, depth) in enumerate(zip(dims, depths, strict=True)):
            if stage == 0:
                layers += [
                    nn.Conv2d(in_channels, dim, patch_size, patch_size),
                    ChannelLayerNorm(dim, eps=1e-6),
                ]
            else:
                layers += [
                    ChannelLayerNorm(dims[stage - 1], eps=1e-6),
                    nn.Conv2d(dims[stage - 1], dim, 2, 2),
                ]
            layers += [Block(dim, kernel_size, layer_scale, next(rates)) for _ in range(depth)]
        self.layers = nn.Sequential(*layers)
        self.norm = LayerNorm(dims[-1], eps=1e-6)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(dims[-1], num_outputs)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Scores ``(B, num_outputs)`` of images ``(B, C, H, W)``."""
        pooled_BD = self.layers(x_BCHW).mean(dim=(2, 3))
        return self.head(self.dropout(self.norm(pooled_BD)))


class Block(nn.Module):
    """x + scale * Linear(GELU(Linear(norm(depthwise(x))))), four times as wide inside.

    Args:
        dim: D.
        kernel_size: Of the depthwise convolution.
        layer_scale: First value of ``scale``, one number for each channel.
        rate: Of stochastic depth.
    """

    def __init__(self, dim: int, kernel_size: int, layer_scale: float, rate: float):
        super().__init__()
        self.depthwise = nn.Conv2d(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim)
        self.norm = LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.scale_D = nn.Parameter(torch.full((dim,), layer_scale))
        self.drop = StochasticDepth(rate)

    def forward(self, x_BDHW: Tensor) -> Tensor:
        """The stream after this block."""
        # Channels last: the norm and the linear layers work on rows of D.
        y_BHWD = self.norm(self.depthwise(x_BDHW).permute(0, 2, 3, 1))
        y_BHWD = self.scale_D * self.mlp(y_BHWD)
        return x_BDHW + self.drop(y_BHWD.permute(0, 3, 1, 2))


def _check(dims, depths, patch_size, kernel_size, layer_scale, dropout) -> None:
    if not dims or len(dims) != len(depths) or min(*dims, *depths) < 1:
        raise InvalidValueError(
            f"architecture convnext: dims = {list(dims)}, depths = {list(depths)};"
            " each stage needs one of both, 1 or more"
        )
    if patch_size < 1 or kernel_size < 1 or kernel_size % 2 == 0:
        raise InvalidValueError(
            f"architecture convnext: patch_size = {patch_size}, kernel_size = {kernel_size};"
            " both must be 1 pixel or more, and kernel_size odd"
        )
    if not layer_scale > 0 or not 0 <= dropout < 1:
        raise InvalidValueError(
            f"architecture convnext: layer_scale = {layer_scale}, dropout = {dropout};"
            " layer_scale must be above 0 and dropout in [0, 1)"
        )
