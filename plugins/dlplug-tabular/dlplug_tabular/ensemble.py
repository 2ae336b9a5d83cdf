"""TabM: k networks in one that share most of their weights.

Gorishniy et al. 2024, "TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling",
arXiv:2410.24210; embeddings of numbers: Gorishniy et al. 2022, arXiv:2203.05556.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from rtdl_num_embeddings import (
    LinearReLUEmbeddings,
    PeriodicEmbeddings,
    PiecewiseLinearEmbeddings,
)
from tabm import TabM
from torch import Tensor, nn

from dlplug_tabular.columns import Columns

Embedding = Literal["linear", "periodic", "piecewise_linear"]


def tabm(
    num_outputs: int,
    num_features: int | None = None,
    cat_cardinalities: Sequence[int] | None = None,
    k: int = 32,
    n_blocks: int = 3,
    d_block: int = 512,
    dropout: float = 0.1,
    arch_type: Literal["tabm", "tabm-mini", "tabm-packed"] = "tabm",
    num_embeddings: Embedding | None = None,
    d_embedding: int | None = None,
    n_bins: int | None = None,
) -> nn.Module:
    """Numbers and categories of a table to k outputs each, ``(B, k, num_outputs)``.

    It goes with the tasks ``ensemble_classification`` and ``ensemble_regression``, which train the
    k members side by side and combine what they predict.

    Args:
        num_outputs: Width of each member's output.
        num_features: F, columns of numbers; None for a table without.
        cat_cardinalities: Number of indices of each column of categories; one-hot within.
        k: Members of the ensemble.
        n_blocks: Blocks of a linear layer, ReLU and dropout.
        d_block: Their width.
        dropout: Share of hidden values set to 0 while training.
        arch_type: ``tabm`` scales the shared weights anew in every layer for each member,
            ``tabm-mini`` in the first one alone, ``tabm-packed`` shares nothing.
        num_embeddings: What becomes of a number first: a vector by ``linear`` with ReLU, by
            ``periodic`` functions, or ``piecewise_linear`` between bins, which needs memory when it
            is built and is not for sharded trainings; None for itself.
        d_embedding: Width of that vector; None for 32, 24 or 16.
        n_bins: For ``piecewise_linear``, from one quantile of the standard normal distribution to
            the next: a network does not see its training records, but dlplug's tables are
            standardised. None for 48.
    Raises:
        ValueError: there are no columns, an argument that belongs to another embedding is given,
            or a value is out of range.
    """
    embedding = embedding_of_numbers(num_embeddings, num_features or 0, d_embedding, n_bins)
    return Columns(
        TabM.make(
            n_num_features=num_features or 0,
            cat_cardinalities=list(cat_cardinalities or ()),
            d_out=num_outputs,
            num_embeddings=embedding,
            k=k,
            n_blocks=n_blocks,
            d_block=d_block,
            dropout=dropout,
            arch_type=arch_type,
        )
    )


def embedding_of_numbers(
    kind: Embedding | None, num_features: int, width: int | None, num_bins: int | None
) -> nn.Module | None:
    """The module that makes a vector of each number; None for none.

    Args:
        kind: One of `Embedding`.
        num_features: Columns of numbers.
        width: Of a vector; None for the library's choice.
        num_bins: Between quantiles; None for 48.
    Raises:
        ValueError: an argument has no use for this kind, or there are no numbers.
    """
    for name, value, owners in (
        ("d_embedding", width, ("linear", "periodic", "piecewise_linear")),
        ("n_bins", num_bins, ("piecewise_linear",)),
    ):
        if value is not None and kind not in owners:
            raise ValueError(f"{name} = {value} has no use with num_embeddings = {kind!r}")
        if value is not None and value < 1:
            raise ValueError(f"{name} = {value}: must be 1 or more")
    if kind is None:
        return None
    if not num_features:
        raise ValueError(f"num_embeddings = {kind!r}: the table has no columns of numbers")
    if kind == "linear":
        return LinearReLUEmbeddings(num_features, width or 32)
    if kind == "periodic":
        return PeriodicEmbeddings(num_features, width or 24, lite=False)
    # Version B begins as a linear function of the number, as TabM's authors advise.
    bins = [normal_quantiles(num_bins or 48)] * num_features
    return PiecewiseLinearEmbeddings(bins, width or 16, activation=False, version="B")


def normal_quantiles(num_bins: int) -> Tensor:
    """Edges ``(num_bins + 1,)`` of bins that hold equal shares of standard normal numbers.

    The outermost are where another bin of the share would have its middle: beyond them the
    library goes on in a straight line.
    """
    share = 1 / num_bins
    inner = [i * share for i in range(1, num_bins)]
    return torch.special.ndtri(torch.tensor([share / 4, *inner, 1 - share / 4]))
