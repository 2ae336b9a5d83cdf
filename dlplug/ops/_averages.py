"""Averages of parameters over the steps, which an optimizer's pass moves: their form."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dlplug.errors import DtypeError, ShapeError
from dlplug.ops._row_checks import check_shape


def average_dtype(param: Tensor) -> torch.dtype:
    """Of a parameter's average over steps: bfloat16 would lose updates below 1/256 of it."""
    return torch.promote_types(param.dtype, torch.float32)


def check_averages(op: str, averages: Sequence[Tensor], params: Sequence[Tensor]) -> None:
    """There is none, or one for each parameter.

    Args:
        op: Whose argument they are, for messages.
        averages: What is given.
        params: Whose averages they are to be.
    Raises:
        ShapeError: another number of them, or another shape.
        DtypeError: another dtype than `average_dtype`.
    """
    if not averages:
        return
    if len(averages) != len(params):
        raise ShapeError(f"{op}: {len(params)} params, but {len(averages)} averages")
    for i, (average, param) in enumerate(zip(averages, params, strict=True)):
        check_shape(f"{op}: averages[{i}]", average, param)
        if average.dtype is not average_dtype(param):
            raise DtypeError(
                f"{op}: averages[{i}] is {average.dtype}, of a {param.dtype} parameter it is "
                f"{average_dtype(param)}"
            )
