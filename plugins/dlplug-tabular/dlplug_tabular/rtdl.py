"""MLP, ResNet and FT-Transformer of rtdl_revisiting_models, with defaults from its README.

Gorishniy et al. 2021, "Revisiting Deep Learning Models for Tabular Data", arXiv:2106.11959.
"""

from collections.abc import Sequence

import rtdl_revisiting_models as rtdl
from torch import nn

from dlplug_tabular.columns import Columns


def rtdl_mlp(
    num_outputs: int, num_features: int, n_blocks: int = 3, d_block: int = 384, dropout: float = 0.1
) -> nn.Module:
    """The MLP of section 3.1: rows of numbers ``(B, F)`` to outputs.

    Args:
        num_outputs: Width of the output.
        num_features: F.
        n_blocks: Blocks of a linear layer, ReLU and dropout.
        d_block: Their width.
        dropout: Share of hidden values set to 0 while training.
    Raises:
        ValueError: there are no blocks, or the dropout is out of range.
    """
    return rtdl.MLP(
        d_in=num_features, d_out=num_outputs, n_blocks=n_blocks, d_block=d_block, dropout=dropout
    )


def rtdl_resnet(
    num_outputs: int,
    num_features: int,
    n_blocks: int = 2,
    d_block: int = 192,
    d_hidden: int | None = None,
    d_hidden_multiplier: float | None = None,
    dropout1: float = 0.15,
    dropout2: float = 0.0,
) -> nn.Module:
    """The ResNet of section 3.2: rows of numbers ``(B, F)`` to outputs.

    Args:
        num_outputs: Width of the output.
        num_features: F.
        n_blocks: Residual blocks.
        d_block: Their width.
        d_hidden: Width within a block; None to say it by the multiplier.
        d_hidden_multiplier: The same as a multiple of ``d_block``; None for 2, unless ``d_hidden``
            is given.
        dropout1: Share of values within a block set to 0 while training.
        dropout2: Share of values of a block's result set to 0 while training.
    Raises:
        ValueError: both widths within a block are given, or a value is out of range.
    """
    if d_hidden is None and d_hidden_multiplier is None:
        d_hidden_multiplier = 2.0
    return rtdl.ResNet(
        d_in=num_features,
        d_out=num_outputs,
        n_blocks=n_blocks,
        d_block=d_block,
        d_hidden=d_hidden,
        d_hidden_multiplier=d_hidden_multiplier,
        dropout1=dropout1,
        dropout2=dropout2,
    )


def rtdl_ft_transformer(
    num_outputs: int,
    num_features: int | None = None,
    cat_cardinalities: Sequence[int] | None = None,
    n_blocks: int = 3,
    d_block: int = 192,
    attention_n_heads: int = 8,
    attention_dropout: float = 0.2,
    ffn_d_hidden_multiplier: float = 4 / 3,
    ffn_dropout: float = 0.1,
    residual_dropout: float = 0.0,
) -> nn.Module:
    """The FT-Transformer of section 3.3, by its authors: numbers and categories to outputs.

    dlplug's own ``ft_transformer`` is the same idea on dlplug's kernels, with GELU for ReGLU.

    Args:
        num_outputs: Width of the output.
        num_features: F; None for a table without numbers.
        cat_cardinalities: Number of indices of each column of categories.
        n_blocks: Number of blocks.
        d_block: Width of a column's token; a multiple of ``attention_n_heads``.
        attention_n_heads: Attention heads.
        attention_dropout: Share of the attention weights set to 0 while training.
        ffn_d_hidden_multiplier: Hidden width of a block's network, in units of ``d_block``.
        ffn_dropout: Share of its hidden values set to 0 while training.
        residual_dropout: Share of what is added to the stream set to 0 while training.
    Raises:
        ValueError: there are no columns, or a value is out of range.
    """
    return Columns(
        rtdl.FTTransformer(
            n_cont_features=num_features or 0,
            cat_cardinalities=list(cat_cardinalities or ()),
            d_out=num_outputs,
            n_blocks=n_blocks,
            d_block=d_block,
            attention_n_heads=attention_n_heads,
            attention_dropout=attention_dropout,
            ffn_d_hidden=None,
            ffn_d_hidden_multiplier=ffn_d_hidden_multiplier,
            ffn_dropout=ffn_dropout,
            ffn_activation="ReGLU",
            residual_dropout=residual_dropout,
        )
    )
