"""Vision transformer: an image as a sequence of patches.

Dosovitskiy et al. 2021, arXiv:2010.11929, section 3.1. Names end in their shape:

    B  images        C  channels        H, W  height, width    P  side of a patch
    T  tokens        D  width (dim)     N  heads               K  width of a head, D / N
    G  rows of patches, H / P           M  columns of patches, W / P
"""

import torch
from torch import Tensor, nn

from dlplug.errors import InvalidValueError
from dlplug.nn import LayerNorm
from dlplug.nn.stochastic_depth import depth_rates, stochastic_depth
from dlplug.ops import add_layer_norm, attention

POOLS = ("cls", "mean")


class ViT(nn.Module):
    """Images to class scores through patches, learned positions and pre-norm blocks.

    Args:
        num_outputs: Width of the output.
        in_channels: C.
        image_size: H and W in pixels; one number when they are equal. Multiples of P.
        patch_size: P in pixels.
        dim: D.
        depth: Number of blocks.
        heads: N; divides D.
        mlp_ratio: Hidden width of a block's network, in units of D.
        dropout: Share of values set to 0 while training after every linear layer but query, key
            and value, and after the positions are added (the paper's appendix B.1).
        pool: What the scores are computed from: ``cls``, an extra token as in the paper, or
            ``mean``, the mean of the patches' tokens.
        stochastic_depth: Share of the last block's updates left out while training; see
            `dlplug.nn.stochastic_depth`.
    Raises:
        InvalidValueError: sizes that do not divide each other, or a value out of range.
    """

    def __init__(
        self,
        num_outputs: int,
        in_channels: int,
        image_size: int | tuple[int, int],
        patch_size: int = 4,
        dim: int = 192,
        depth: int = 6,
        heads: int = 3,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        pool: str = "cls",
        stochastic_depth: float = 0.0,
    ):
        super().__init__()
        height, width = (image_size,) * 2 if isinstance(image_size, int) else image_size
        _check_sizes(height, width, patch_size, dim, heads, dropout, pool)
        num_patches = (height // patch_size) * (width // patch_size)
        self.patch_size = patch_size
        self.pool = pool
        self.dropout = dropout
        self.embed = nn.Linear(in_channels * patch_size**2, dim)
        self.cls_1D = nn.Parameter(torch.zeros(1, dim)) if pool == "cls" else None
        self.position_TD = nn.Parameter(torch.empty(num_patches + (pool == "cls"), dim))
        rates = depth_rates(stochastic_depth, depth, "vit")
        self.blocks = nn.ModuleList(Block(dim, heads, mlp_ratio, dropout, rate) for rate in rates)
        self.norm = LayerNorm(dim)
        self.head = nn.Linear(dim, num_outputs)
        self._initialise()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Scores ``(B, num_outputs)`` of images ``(B, C, H, W)``."""
        tokens_BTD = self.embed(patches(x_BCHW, self.patch_size))
        if self.cls_1D is not None:
            cls_B1D = self.cls_1D.expand(len(x_BCHW), -1, -1)
            tokens_BTD = torch.cat([cls_B1D, tokens_BTD], dim=1)
        # Each block leaves its last update to its successor, whose first norm adds it in the same
        # pass over memory; the tokens are the first update of an empty stream.
        update_BTD = tokens_BTD + self.position_TD
        stream_BTD = torch.zeros_like(update_BTD)
        for block in self.blocks:
            update_BTD, stream_BTD = block(update_BTD, stream_BTD)
        y_BTD, _ = add_and_norm(update_BTD, stream_BTD, self.norm, self.dropout, self.training)
        return self.head(y_BTD[:, 0] if self.pool == "cls" else y_BTD.mean(dim=1))

    def _initialise(self) -> None:
        # As the authors' code does; positions as in BERT.
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.position_TD, std=0.02)


class Block(nn.Module):
    """Attention and a network for each token, both after a norm, both added to the stream.

    Args:
        dim: D.
        heads: N.
        mlp_ratio: Hidden width of the network, in units of D.
        dropout: See `ViT`.
        rate: Of stochastic depth, for both updates.
    """

    def __init__(self, dim: int, heads: int, mlp_ratio: float, dropout: float, rate: float = 0.0):
        super().__init__()
        hidden = round(dim * mlp_ratio)
        self.heads = heads
        self.dropout = dropout
        self.rate = rate
        self.attention_norm = LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.mlp_norm = LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim)
        )

    def forward(self, update_BTD: Tensor, stream_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """The network's update, not yet added, and the stream before it."""
        norm, drop, training = self.attention_norm, self.dropout, self.training
        x_BTD, stream_BTD = add_and_norm(update_BTD, stream_BTD, norm, drop, training)
        attended_BTD = stochastic_depth(self._attend(x_BTD), self.rate, training)
        norm = self.mlp_norm
        x_BTD, stream_BTD = add_and_norm(attended_BTD, stream_BTD, norm, drop, training)
        return stochastic_depth(self.mlp(x_BTD), self.rate, training), stream_BTD

    def _attend(self, x_BTD: Tensor) -> Tensor:
        heads_BTNK = (*x_BTD.shape[:2], self.heads, -1)
        q_BNTK, k_BNTK, v_BNTK = (
            part_BTD.view(heads_BTNK).transpose(1, 2)
            for part_BTD in self.qkv(x_BTD).chunk(3, dim=-1)
        )
        y_BNTK = attention(q_BNTK, k_BNTK, v_BNTK)
        return self.out(y_BNTK.transpose(1, 2).flatten(2))


def add_and_norm(
    update_BTD: Tensor, stream_BTD: Tensor, norm: nn.LayerNorm, dropout: float, training: bool
) -> tuple[Tensor, Tensor]:
    """Add an update to the stream, after dropout, and normalise: the norm, and the new stream."""
    return add_layer_norm(
        update_BTD,
        stream_BTD,
        norm.weight,
        norm.bias,
        norm.eps,
        dropout_p=dropout if training else 0.0,
    )


def patches(x_BCHW: Tensor, size: int) -> Tensor:
    """Cut images into squares, row by row: ``(B, G * M, C * P * P)``."""
    B, C, H, W = x_BCHW.shape
    G, M = H // size, W // size
    x_BGMCPP = x_BCHW.reshape(B, C, G, size, M, size).permute(0, 2, 4, 1, 3, 5)
    return x_BGMCPP.reshape(B, G * M, C * size * size)


def _check_sizes(height, width, patch_size, dim, heads, dropout, pool) -> None:
    if patch_size < 1 or height % patch_size or width % patch_size:
        raise InvalidValueError(
            f"architecture vit: patches of {patch_size} pixels do not fill an image of"
            f" {height} x {width}",
            fix="let patch_size divide the height and the width",
        )
    if heads < 1 or dim % heads:
        raise InvalidValueError(
            f"architecture vit: dim = {dim} is not divisible by heads = {heads}"
        )
    if pool not in POOLS or not 0 <= dropout < 1:
        raise InvalidValueError(
            f"architecture vit: pool = {pool!r}, dropout = {dropout}",
            known=f"pool: {', '.join(POOLS)}; dropout: in [0, 1)",
        )
