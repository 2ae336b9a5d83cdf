"""Inputs of the shapes that a data spec tells, where no record is at hand."""

import torch
from torch import Tensor

from dlplug.data.spec import DataSpec


def example_inputs(spec: DataSpec, records: int = 2) -> Tensor | dict[str, Tensor] | None:
    """Zeros as a batch of inputs, in the forms of `dlplug/tasks/README.md` but for pairs of texts.

    Args:
        spec: Of the data. Where it fits several forms, the richer one: an image before its pixels
            in a row.
        records: In the batch.
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
        return torch.zeros(records, spec.sequence_length, dtype=torch.int64)
    if spec.num_features:
        steps = (spec.sequence_length,) if spec.sequence_length else ()
        return torch.zeros(records, *steps, spec.num_features)
    return None
