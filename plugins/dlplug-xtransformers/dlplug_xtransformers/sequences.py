"""x-transformers' encoder and decoder over tokens. Lettering: B texts, T positions, C scores."""

from typing import Any

from torch import Tensor, nn
from x_transformers import Decoder, Encoder, TransformerWrapper

from dlplug.errors import InvalidValueError
from dlplug_xtransformers.cache import Cache
from dlplug_xtransformers.options import (
    divided,
    layer_options,
    options_of,
    refusals,
    with_options,
)

PADDING = 0
"""The token that dlplug's data modules fill texts up with."""
# What a config cannot write, what changes the outputs' form, and what asks for further inputs.
LEFT_OUT = (
    *("embed_num_tokens", "token_emb", "to_logits", "logits_dim", "return_only_embed"),
    *("num_output_heads", "squeeze_out_last_dim", "add_continuous_pred_head"),
    *("max_mem_len", "shift_mem_down", "input_not_include_cache"),
    *("looped", "max_looped_steps", "recycling", "train_max_recycle_steps", "num_cls_tokens"),
    *("attn_pool", "num_pooled_tokens", "attn_pool_depth", "dim_pooled_tokens"),
)
LAYERS = layer_options()
WRAPPER = options_of(TransformerWrapper, "", LEFT_OUT)
POOLS = ("average_pool_embed", "use_cls_token")


@with_options(WRAPPER, LAYERS)
def x_transformer(
    num_outputs: int,
    vocab_size: int,
    sequence_length: int,
    per_position: bool = False,
    is_causal: bool = False,
    dim: int = 256,
    depth: int = 6,
    heads: int = 8,
    **options: Any,
) -> nn.Module:
    """Tokens ``(B, T)`` to scores: of each position ``(B, T, C)``, or of the whole ``(B, C)``.

    The task decides which, and whether a position may see the later ones. A whole text's scores are
    the mean over its tokens, or come from a token of its own with ``use_cls_token``.

    Args:
        num_outputs: C.
        vocab_size: Number of different tokens; token 0 is padding and takes no part.
        sequence_length: Most positions of a text.
        per_position: Whether each position has scores.
        is_causal: Whether it is a decoder.
        dim: Width of a token.
        depth: Number of blocks.
        heads: Attention heads.
        options: Those of x-transformers' ``TransformerWrapper``, ``Encoder`` and ``Decoder``, by
            its names: of attention with ``attn_`` before them, of the networks with ``ff_``.
    Raises:
        InvalidValueError: the library refuses options, or there is no whole to pool for.
    """
    wrapper, layers = divided(options, WRAPPER, LAYERS)
    pooled = [name for name in POOLS if wrapper.get(name)]
    if per_position and pooled:
        raise InvalidValueError(
            f"architecture x_transformer: {pooled[0]} gives one output for a text, and this task"
            " needs one for each position"
        )
    if not per_position and not pooled:
        wrapper["average_pool_embed"] = True
    if is_causal and not per_position:
        raise InvalidValueError(
            "architecture x_transformer: a decoder gives scores of each position",
            fix="leave out is_causal: the task decides it",
        )
    with refusals("x_transformer"):
        stack = Decoder if is_causal else Encoder
        network = TransformerWrapper(
            num_tokens=vocab_size,
            max_seq_len=sequence_length,
            logits_dim=num_outputs,
            attn_layers=stack(dim=dim, depth=depth, heads=heads, verbose=False, **layers),
            **wrapper,
        )
    return DecoderOfTokens(network) if is_causal else EncoderOfTokens(network)


class EncoderOfTokens(nn.Module):
    """Scores of texts in which padding takes no part.

    Args:
        network: Over an ``Encoder``.
    """

    def __init__(self, network: TransformerWrapper):
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor) -> Tensor:
        """Scores ``(B, T, C)`` or ``(B, C)`` of tokens ``(B, T)`` int64."""
        return self.network(tokens, mask=tokens != PADDING)


class DecoderOfTokens(nn.Module):
    """Scores of what follows each position; padding stands behind a text, where nobody looks.

    Args:
        network: Over a ``Decoder``.
    """

    def __init__(self, network: TransformerWrapper):
        super().__init__()
        self.network = network

    def new_cache(self, batch_size: int, room: int) -> Cache:
        """A cache for generating; ``room`` tokens of each text fit into the network anyway."""
        return Cache(self.network)

    def forward(self, tokens: Tensor, cache: Cache | None = None) -> Tensor:
        """Scores ``(B, T, C)`` of tokens ``(B, T)`` int64; of the new ones, with a cache."""
        return self.network(tokens) if cache is None else cache.scores_of(tokens)
