"""One block: attention between positions, then a network for each position, both pre-norm.

Grouped queries: Ainslie et al. 2023, arXiv:2305.13245. SwiGLU: Shazeer 2020, arXiv:2002.05202.
Names end in their shape:

    B  sequences    T  positions    S  positions with those in the cache    D  width (dim)
    N  heads        G  heads of keys and values    K  width of a head, D / N    H  hidden width
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from dlplug.architectures.transformer.rotary import rotate
from dlplug.nn import LayerNorm, RMSNorm
from dlplug.ops import add_layer_norm, add_rms_norm, attention

EPS = 1e-6


@dataclass
class View:
    """What a position sees, and where it stands: the same for all blocks of one pass.

    Args:
        cos_TJ, sin_TJ: From `dlplug.architectures.transformer.rotary.rotations`.
        is_causal: Whether a position sees none of the later ones.
        window: See `dlplug.ops.attention`; None for no bound.
        offset: Number of positions in the cache.
        seen_B11S: Keys that are no padding; None where there is none to hide.
    """

    cos_TJ: Tensor
    sin_TJ: Tensor
    is_causal: bool
    window: int | tuple[int, int] | None = None
    offset: int = 0
    seen_B11S: Tensor | None = None


@dataclass
class BlockCache:
    """Keys and values of one block, ``(B, G, S, K)``, with room for more."""

    k_BGSK: Tensor
    v_BGSK: Tensor

    def extended(self, k_BGTK: Tensor, v_BGTK: Tensor, offset: int) -> tuple[Tensor, Tensor]:
        """Write at ``offset``; all keys and values up to there."""
        end = offset + k_BGTK.shape[2]
        self.k_BGSK[:, :, offset:end] = k_BGTK
        self.v_BGSK[:, :, offset:end] = v_BGTK
        return self.k_BGSK[:, :, :end], self.v_BGSK[:, :, :end]


@dataclass
class Cache:
    """What a transformer keeps of the positions that it has seen.

    Args:
        blocks: One for each block.
        room: Positions that there is room for.
        length: Positions that are in it.
    """

    blocks: list[BlockCache]
    room: int
    length: int = field(default=0)


class SelfAttention(nn.Module):
    """Softmax attention of a sequence to itself, with rotary positions.

    Args:
        dim: D.
        heads: N; divides D.
        kv_heads: G; divides N.
    """

    def __init__(self, dim: int, heads: int, kv_heads: int):
        super().__init__()
        self.heads, self.kv_heads, self.width = heads, kv_heads, dim // heads
        self.qkv = nn.Linear(dim, (heads + 2 * kv_heads) * self.width, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)

    def forward(self, x_BTD: Tensor, view: View, cache: BlockCache | None = None) -> Tensor:
        """Mixed positions ``(B, T, D)``; with a cache, of these and the earlier ones."""
        parts = (self.heads, self.kv_heads, self.kv_heads)
        q_BNTK, k_BGTK, v_BGTK = (
            part.transpose(1, 2)
            for part in self.qkv(x_BTD).unflatten(-1, (-1, self.width)).split(parts, dim=2)
        )
        q_BNTK = rotate(q_BNTK, view.cos_TJ, view.sin_TJ)
        k_BGSK, v_BGSK = rotate(k_BGTK, view.cos_TJ, view.sin_TJ), v_BGTK
        if cache is not None:
            k_BGSK, v_BGSK = cache.extended(k_BGSK, v_BGSK, view.offset)
        y_BNTK = attention(
            q_BNTK,
            k_BGSK,
            v_BGSK,
            view.seen_B11S,
            is_causal=view.is_causal,
            enable_gqa=self.kv_heads != self.heads,
            window=view.window,
            query_offset=view.offset if view.is_causal else 0,
        )
        return self.out(y_BNTK.transpose(1, 2).flatten(2))


class GELUNetwork(nn.Module):
    """``W2 gelu(W1 x)`` for each position.

    Args:
        dim: D.
        hidden: H.
        dropout: Share of hidden values set to 0 while training.
    """

    def __init__(self, dim: int, hidden: int, dropout: float):
        super().__init__()
        self.up, self.out = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.activation = nn.GELU()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Shape ``(B, T, D)``."""
        return self.out(self.dropout(self.activation(self.up(x_BTD))))


class SwiGLUNetwork(nn.Module):
    """``W3 (silu(W1 x) * W2 x)`` for each position; arguments as for `GELUNetwork`."""

    def __init__(self, dim: int, hidden: int, dropout: float):
        super().__init__()
        self.up = nn.Linear(dim, 2 * hidden, bias=False)
        self.out = nn.Linear(hidden, dim, bias=False)
        self.activation = nn.SiLU()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Shape ``(B, T, D)``."""
        gate_BTH, value_BTH = self.up(x_BTD).chunk(2, dim=-1)
        return self.out(self.dropout(self.activation(gate_BTH) * value_BTH))


class Block(nn.Module):
    """Attention and a network, each after a norm and added to the stream.

    Args:
        dim: D.
        heads, kv_heads: See `SelfAttention`.
        network: A module for ``(B, T, D)``.
        norm: ``rms`` or ``layer``.
        dropout: Share of each update set to 0 while training.
    """

    def __init__(
        self, dim: int, heads: int, kv_heads: int, network: nn.Module, norm: str, dropout: float
    ):
        super().__init__()
        self.attention_norm = AddNorm(dim, norm, dropout)
        self.attention = SelfAttention(dim, heads, kv_heads)
        self.network_norm = AddNorm(dim, norm, dropout)
        self.network = network

    def forward(
        self, update_BTD: Tensor, stream_BTD: Tensor, view: View, cache: BlockCache | None = None
    ) -> tuple[Tensor, Tensor]:
        """The network's update, not yet added, and the stream before it."""
        x_BTD, stream_BTD = self.attention_norm(update_BTD, stream_BTD)
        attended_BTD = self.attention(x_BTD, view, cache)
        x_BTD, stream_BTD = self.network_norm(attended_BTD, stream_BTD)
        return self.network(x_BTD), stream_BTD


class AddNorm(nn.Module):
    """Add an update to the stream, after dropout, and normalise the sum, in one pass over memory.

    Args:
        dim: D.
        norm: ``rms`` or ``layer``.
        dropout: Share of the update set to 0 while training.
    """

    def __init__(self, dim: int, norm: str, dropout: float):
        super().__init__()
        self.norm = RMSNorm(dim, EPS) if norm == "rms" else LayerNorm(dim, EPS)
        self.dropout = dropout

    def forward(self, update_BTD: Tensor, stream_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """The normalised sum, and the sum."""
        norm, dropout_p = self.norm, self.dropout if self.training else 0.0
        if isinstance(norm, LayerNorm):
            return add_layer_norm(
                update_BTD, stream_BTD, norm.weight, norm.bias, EPS, dropout_p=dropout_p
            )
        return add_rms_norm(update_BTD, stream_BTD, norm.weight, EPS, dropout_p=dropout_p)


def is_hidden_padding(is_token_BT: Tensor, is_causal: bool) -> bool:
    """Whether some token could see padding: with causal attention not what only follows it."""
    padding_BT = ~is_token_BT
    if is_causal:
        padding_BT = padding_BT[:, :-1] & is_token_BT[:, 1:]
    # Compiled code has one path for all batches.
    return torch.compiler.is_compiling() or bool(padding_BT.any())
