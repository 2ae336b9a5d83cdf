"""Transformer of sequences: an encoder or a decoder, of tokens or of series.

Vaswani et al. 2017, arXiv:1706.03762, as language models build it since (Touvron et al. 2023,
arXiv:2302.13971): norms before each part, rotary positions, SwiGLU. Names end in their shape:

    B  sequences    T  positions    S  positions with those in the cache
    D  width (dim)  F  features of a time step    O  outputs
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlplug.architectures.transformer.block import (
    AddNorm,
    Block,
    BlockCache,
    Cache,
    GELUNetwork,
    SwiGLUNetwork,
    View,
    is_hidden_padding,
)
from dlplug.architectures.transformer.rotary import rotations
from dlplug.errors import InvalidValueError
from dlplug.nn.absent import PADDING

NORMS = ("rms", "layer")
ACTIVATIONS = {"swiglu": SwiGLUNetwork, "gelu": GELUNetwork}
POOLS = ("mean", "last")


class Transformer(nn.Module):
    """Sequences to outputs for each position, or for the whole sequence.

    Of tokens, 0 is padding: no token sees it, and it counts in no mean.

    Args:
        num_outputs: O.
        vocab_size: Number of tokens, for sequences ``(B, T)`` int64.
        num_features: F, for series ``(B, T, F)``; one of the two must be given.
        per_position: Outputs ``(B, T, O)`` for each position, instead of ``(B, O)``.
        is_causal: A position sees none of the later ones: a decoder instead of an encoder.
        dim: D.
        depth: Number of blocks.
        heads: Divides D; D / heads is even, for the rotary positions.
        kv_heads: Heads of keys and values, each shared by ``heads / kv_heads`` queries; None for
            ``heads``.
        mlp_ratio: Hidden width of a block's network, in units of D; SwiGLU, which has three
            matrices instead of two, takes two thirds of it.
        activation: ``swiglu`` or ``gelu``.
        norm: ``rms`` or ``layer``.
        window: A position sees so many positions up to its own; without ``is_causal``, so many
            around it, half on each side. None for all.
        tie_embeddings: Use the tokens' embedding as the last layer too; needs ``per_position``
            and outputs for each token.
        dropout: Share of values set to 0 while training: of the embedding, of every update of the
            stream, and of the networks' hidden values.
        pool: Of the whole sequence: ``mean``, or ``last``, the last position that is no padding.
        rotary_base: Ratio of the longest and the shortest wavelength of the positions, about.
    Raises:
        InvalidValueError: sizes that do not divide each other, or a value out of range.
    References: Su et al. 2021, arXiv:2104.09864 (rotary positions); Zhang, Sennrich 2019,
        arXiv:1910.07467 (RMSNorm); Shazeer 2020, arXiv:2002.05202 (SwiGLU); Ainslie et al. 2023,
        arXiv:2305.13245 (grouped queries); Beltagy et al. 2020, arXiv:2004.05150 (windows); Press,
        Wolf 2017, arXiv:1608.05859 (tied embeddings).
    Reaches: 2.18 bits per byte with configs/kjv_transformer.yaml (pairs of bytes: 3.23).
    """

    def __init__(
        self,
        num_outputs: int,
        vocab_size: int | None = None,
        num_features: int | None = None,
        per_position: bool = False,
        is_causal: bool = False,
        dim: int = 128,
        depth: int = 4,
        heads: int = 4,
        kv_heads: int | None = None,
        mlp_ratio: float = 4.0,
        activation: str = "swiglu",
        norm: str = "rms",
        window: int | None = None,
        tie_embeddings: bool = False,
        dropout: float = 0.0,
        pool: str = "mean",
        rotary_base: float = 10000.0,
    ):
        super().__init__()
        kv_heads = heads if kv_heads is None else kv_heads
        _check_sizes(dim, depth, heads, kv_heads, mlp_ratio, window, dropout, rotary_base)
        _check_choices(activation, norm, pool, vocab_size, num_features)
        if tie_embeddings and not (per_position and num_outputs == vocab_size):
            raise InvalidValueError(
                f"architecture transformer: tie_embeddings with {num_outputs} outputs of"
                f" {'each position' if per_position else 'the whole'}, for {vocab_size} tokens",
                known="it needs an output of each position for each token",
                fix="set tie_embeddings to false",
            )
        self.per_position = per_position
        self.is_causal = is_causal
        self.kv_heads, self.head_width = kv_heads, dim // heads
        self.window = window if window is None or is_causal else (window // 2, window // 2)
        self.pool = pool
        self.rotary_base = rotary_base
        self.takes_tokens = vocab_size is not None
        self.embed = nn.Embedding(vocab_size, dim) if vocab_size else nn.Linear(num_features, dim)
        share = 2 / 3 if activation == "swiglu" else 1
        hidden = max(1, round(dim * mlp_ratio * share))
        network = ACTIVATIONS[activation]
        self.blocks = nn.ModuleList(
            Block(dim, heads, kv_heads, network(dim, hidden, dropout), norm, dropout)
            for _ in range(depth)
        )
        self.norm = AddNorm(dim, norm, dropout)
        self.head = None if tie_embeddings else nn.Linear(dim, num_outputs)
        self._initialise(depth)

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        """Outputs ``(B, T, O)`` or ``(B, O)`` of tokens ``(B, T)`` or a series ``(B, T, F)``.

        Args:
            x: The sequences; with a cache, only their next positions, without padding.
            cache: From `new_cache`; the positions are added to it.
        Raises:
            InvalidValueError: the cache is full, or the architecture is not causal.
        """
        is_token_BT = x != PADDING if self.takes_tokens else None
        view = self._view(x, is_token_BT, cache)
        update_BTD = self.embed(x)
        stream_BTD = torch.zeros_like(update_BTD)
        for i, block in enumerate(self.blocks):
            block_cache = None if cache is None else cache.blocks[i]
            update_BTD, stream_BTD = block(update_BTD, stream_BTD, view, block_cache)
        if cache is not None:
            cache.length += x.shape[1]
        y_BTD, _ = self.norm(update_BTD, stream_BTD)
        if not self.per_position:
            return self.head(pooled(y_BTD, is_token_BT, self.pool))
        return F.linear(y_BTD, self.embed.weight) if self.head is None else self.head(y_BTD)

    def new_cache(self, batch_size: int, room: int) -> Cache:
        """An empty cache for so many sequences of at most ``room`` positions.

        Raises:
            InvalidValueError: the architecture gives no output for each position, or is not causal.
        """
        if not self.is_causal or not self.per_position:
            raise InvalidValueError(
                "architecture transformer: a cache is of use only where each position has an"
                " output, and sees no later one"
            )
        weight = self.norm.norm.weight
        shape = (batch_size, self.kv_heads, room, self.head_width)
        blocks = [BlockCache(weight.new_zeros(shape), weight.new_zeros(shape)) for _ in self.blocks]
        return Cache(blocks, room)

    def _view(self, x: Tensor, is_token_BT: Tensor | None, cache: Cache | None) -> View:
        length, offset = x.shape[1], 0 if cache is None else cache.length
        if cache is not None and offset + length > cache.room:
            raise InvalidValueError(
                f"architecture transformer: {offset} + {length} positions, and the cache has room"
                f" for {cache.room}"
            )
        cos_TJ, sin_TJ = rotations(length, offset, self.head_width, self.rotary_base, x.device)
        seen_B11S = None
        is_padded = is_token_BT is not None and cache is None
        if is_padded and is_hidden_padding(is_token_BT, self.is_causal):
            seen_B11S = is_token_BT[:, None, None, :]
        return View(cos_TJ, sin_TJ, self.is_causal, self.window, offset, seen_B11S)

    def _initialise(self, depth: int) -> None:
        # As GPT-2 does: the stream is a sum of 2 * depth updates, and is to begin at one size.
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        for block in self.blocks:
            for last in (block.attention.out, block.network.out):
                nn.init.normal_(last.weight, std=0.02 / (2 * depth) ** 0.5)


def pooled(y_BTD: Tensor, is_token_BT: Tensor | None, pool: str) -> Tensor:
    """One row ``(B, D)`` for each sequence; padding is left out."""
    if is_token_BT is None:
        return y_BTD[:, -1] if pool == "last" else y_BTD.mean(dim=1)
    if pool == "mean":
        weight_BT1 = is_token_BT[..., None].to(y_BTD.dtype)
        return (y_BTD * weight_BT1).sum(dim=1) / weight_BT1.sum(dim=1).clamp(min=1)
    position_T = torch.arange(y_BTD.shape[1], device=y_BTD.device)
    last_B = (position_T * is_token_BT).amax(dim=1)
    return y_BTD[torch.arange(len(y_BTD), device=y_BTD.device), last_B]


def _check_sizes(dim, depth, heads, kv_heads, mlp_ratio, window, dropout, rotary_base) -> None:
    if heads < 1 or dim < 1 or dim % heads or dim // heads % 2:
        raise InvalidValueError(
            f"architecture transformer: dim = {dim}, heads = {heads}",
            known="dim / heads is an even number",
        )
    if kv_heads < 1 or heads % kv_heads:
        raise InvalidValueError(
            f"architecture transformer: heads = {heads} is not divisible by kv_heads = {kv_heads}"
        )
    if depth < 1 or mlp_ratio <= 0 or (window is not None and window < 1):
        raise InvalidValueError(
            f"architecture transformer: depth = {depth}, mlp_ratio = {mlp_ratio}, window ="
            f" {window}",
            known="depth and window: 1 or more; mlp_ratio: above 0",
        )
    if not 0 <= dropout < 1 or rotary_base <= 1:
        raise InvalidValueError(
            f"architecture transformer: dropout = {dropout}, rotary_base = {rotary_base}",
            known="dropout: in [0, 1); rotary_base: above 1",
        )


def _check_choices(activation, norm, pool, vocab_size, num_features) -> None:
    if activation not in ACTIVATIONS or norm not in NORMS or pool not in POOLS:
        raise InvalidValueError(
            f"architecture transformer: activation = {activation!r}, norm = {norm!r}, pool ="
            f" {pool!r}",
            known=f"activation: {', '.join(ACTIVATIONS)}; norm: {', '.join(NORMS)}; pool:"
            f" {', '.join(POOLS)}",
        )
    if (vocab_size is None) == (num_features is None):
        raise InvalidValueError(
            f"architecture transformer: vocab_size = {vocab_size}, num_features = {num_features}",
            known="tokens (B, T) have a vocab_size, series (B, T, F) have num_features",
            fix="use data of tokens or of series, such as data text",
        )
