"""Inputs of the shapes that a data spec tells, where no record is at hand."""

from collections.abc import Collection

import torch
from torch import Tensor

from dlplug.data.spec import DataSpec

PAIR = ("source", "target")
"""Names of the inputs of what writes a text, which no spec tells from a text alone."""


def example_inputs(
    spec: DataSpec, records: int = 2, names: Collection[str] = ()
) -> Tensor | dict[str, Tensor] | None:
    """Zeros as a batch of inputs, in the forms of `dlplug/tasks/README.md`.

    Args:
        spec: Of the data. Where it fits several forms, the richer one: an image before its pixels
            in a row.
        records: In the batch.
        names: Of the architecture's arguments; those of `PAIR` ask for a pair of texts.
    Returns:
        As an architecture gets them; None where the spec tells no form.
    """
    if spec.cat_cardinalities:
        continuous = torch.zeros(records, spec.num_features or 0)
        kinds = torch.zeros(records, len(spec.cat_cardinalities), dtype=torch.int64)
        return {"x_cont": continuous, "x_cat": kinds}
    if spec.in_channels and spec.image_size:
        size = spec.image_size
        sides = (size, size) if isinstance(size, int) else size
        return torch.zeros(records, spec.in_channels, *sides)
    if spec.vocab_size and spec.sequence_length:
        tokens = torch.zeros(records, spec.sequence_length, dtype=torch.int64)
        return {side: tokens.clone() for side in PAIR} if set(PAIR) <= set(names) else tokens
    if spec.num_features:
        steps = (spec.sequence_length,) if spec.sequence_length else ()
        return torch.zeros(records, *steps, spec.num_features)
    return None
