"""Compact convolutional transformer: convolutions make the tokens of a small transformer.

Hassani et al. 2021, arXiv:2104.05704, section 3. Names end in their shape:

    B  images    C  channels        H, W  height, width    T  tokens    D  width (dim)
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from dlplug.architectures.vit import Block, add_and_norm
from dlplug.errors import InvalidValueError
from dlplug.nn import LayerNorm
from dlplug.nn.stochastic_depth import depth_rates


class CCT(nn.Module):
    """Images to class scores through a convolutional tokeniser, blocks and a learned pooling.

    Reaches: 97.1 % of the test images of `configs/mnist_cct.yaml`.

    Args:
        num_outputs: Width of the output.
        in_channels: C.
        image_size: H and W in pixels; one number when they are equal.
        dim: D.
        depth: Number of blocks.
        heads: Attention heads; divides D.
        mlp_ratio: Hidden width of a block's network, in units of D.
        tokenizer_layers: Convolutions of the tokeniser; each halves the image.
        kernel_size: Side of these convolutions in pixels; odd.
        dropout: See `dlplug.architectures.vit.ViT`.
        stochastic_depth: Share of the last block's updates left out while training; see
            `dlplug.nn.stochastic_depth`.
    Raises:
        InvalidValueError: a value out of range.
    """

    def __init__(
        self,
        num_outputs: int,
        in_channels: int,
        image_size: int | tuple[int, int],
        dim: int = 128,
        depth: int = 4,
        heads: int = 4,
        mlp_ratio: float = 2.0,
        tokenizer_layers: int = 2,
        kernel_size: int = 3,
        dropout: float = 0.0,
        stochastic_depth: float = 0.0,
    ):
        super().__init__()
        _check(dim, depth, heads, mlp_ratio, tokenizer_layers, kernel_size, dropout)
        sides = (image_size, image_size) if isinstance(image_size, int) else image_size
        for _ in range(tokenizer_layers):
            sides = tuple((side + 1) // 2 for side in sides)
        rates = depth_rates(stochastic_depth, depth, "cct")
        self.dropout = dropout
        self.tokenizer = make_tokenizer(in_channels, dim, tokenizer_layers, kernel_size)
        self.position_TD = nn.Parameter(torch.empty(sides[0] * sides[1], dim))
        self.blocks = nn.ModuleList(Block(dim, heads, mlp_ratio, dropout, rate) for rate in rates)
        self.norm = LayerNorm(dim)
        self.importance = nn.Linear(dim, 1)
        self.head = nn.Linear(dim, num_outputs)
        self._initialise()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Scores ``(B, num_outputs)`` of images ``(B, C, H, W)``."""
        update_BTD = self.tokenizer(x_BCHW).flatten(2).transpose(1, 2) + self.position_TD
        stream_BTD = torch.zeros_like(update_BTD)
        for block in self.blocks:
            update_BTD, stream_BTD = block(update_BTD, stream_BTD)
        y_BTD, _ = add_and_norm(update_BTD, stream_BTD, self.norm, self.dropout, self.training)
        return self.head(self._pool(y_BTD))

    def _pool(self, y_BTD: Tensor) -> Tensor:
        """Mean of the tokens, weighted by what each says of itself (SeqPool, eq. 3)."""
        weight_B1T = self.importance(y_BTD).softmax(dim=1).transpose(1, 2)
        return (weight_B1T @ y_BTD).squeeze(1)

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        nn.init.trunc_normal_(self.position_TD, std=0.2)


def make_tokenizer(in_channels: int, dim: int, layers: int, kernel_size: int) -> nn.Sequential:
    """[Conv -> ReLU -> max pool] ``layers`` times; half as wide before the last."""
    widths = [in_channels, *[max(dim // 2, 1)] * (layers - 1), dim]
    parts: list[nn.Module] = []
    for before, after in pairwise(widths):
        parts += [
            nn.Conv2d(before, after, kernel_size, padding=kernel_size // 2, bias=False),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
        ]
    return nn.Sequential(*parts)


def _check(dim, depth, heads, mlp_ratio, tokenizer_layers, kernel_size, dropout) -> None:
    if heads < 1 or dim < 1 or dim % heads:
        raise InvalidValueError(
            f"architecture cct: dim = {dim} is not divisible by heads = {heads}"
        )
    if depth < 1 or tokenizer_layers < 1 or not mlp_ratio > 0:
        raise InvalidValueError(
            f"architecture cct: depth = {depth}, tokenizer_layers = {tokenizer_layers},"
            f" mlp_ratio = {mlp_ratio}; at least one block, one convolution, and a ratio above 0"
        )
    if kernel_size < 1 or kernel_size % 2 == 0 or not 0 <= dropout < 1:
        raise InvalidValueError(
            f"architecture cct: kernel_size = {kernel_size}, dropout = {dropout};"
            " kernel_size must be odd and dropout in [0, 1)"
        )
