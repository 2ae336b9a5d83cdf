"""What an architecture gives: tensors that something can be learned from, a row for each record."""

from numbers import Number
from typing import Any

import torch
from torch import Tensor

from dlplug.errors import ConfigError
from dlplug.tasks.checks import describe, is_numpy, leaves, tensors

CONVERSIONS = "without .item() or float(), .tolist() or .numpy(): a number has no gradient"

BATCH_FIRST = (
    ", and keep the batch as the first axis: flatten with flatten(1), take means over the axes from"
    " 1 on"
)


def check_rows(output: Any, inputs: Any, width: int | None, what: str) -> None:
    """The output is ``(B, width)``.

    Args:
        output: The architecture's.
        inputs: One batch.
        width: Of a row; None when anything will do.
        what: The meaning of the columns, such as ``classes``.
    Raises:
        ConfigError: it is not.
    """
    rows = next(tensors(inputs), output)  # inputs of a library's own kind have any number
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(rows):
        raise ConfigError(
            f"the architecture gives {describe(output)} for inputs {describe(inputs)}",
            known="scores (B, C), one row for each record",
            fix=fix_for_output(output)
            or "let forward return one tensor, the scores alone"
            + (BATCH_FIRST if isinstance(output, Tensor) else ""),
        )
    check_floating(output, inputs)
    if width is not None and output.shape[1] != width:
        raise ConfigError(
            f"the architecture gives {output.shape[1]} scores, the data has {width} {what}",
            fix=f"leave out the number of {what}: it is filled in from the data",
        )


def check_floating(output: Tensor, inputs: Any) -> None:
    """The output is a dense tensor of real numbers in floating point.

    Args:
        output: The architecture's.
        inputs: One batch.
    Raises:
        ConfigError: it is not.
    """
    if fix := fix_for_output(output):
        raise ConfigError(
            f"the architecture gives {describe(output)} for inputs {describe(inputs)}",
            known="a dense tensor of floating-point numbers",
            fix=fix,
        )


def fix_for_output(output: Any) -> str | None:
    """What to do about an output that nothing can be learned from.

    Args:
        output: The architecture's.
    Returns:
        None for a dense tensor of floating-point numbers, and for what holds a tensor.
    """
    if output is None:
        return "end forward with 'return' and the scores"
    if not isinstance(output, Tensor):
        return None if holds_tensor(output) else f"let forward {fix_for_no_tensor(output)}"
    if output.layout != torch.strided:
        return "return a dense tensor: output.to_dense()"
    if output.is_complex():
        return "return real numbers: output.abs(), or output.real"
    if not output.is_floating_point():
        return "return the scores themselves: argmax, rounding and comparisons have no gradient"
    return None


def fix_for_no_tensor(value: Any) -> str:
    """What to do about what should be a tensor, as an imperative.

    Args:
        value: Holds no tensor.
    """
    is_number = any(isinstance(leaf, Number) or is_numpy(type(leaf)) for leaf in leaves(value))
    return f"return the tensor itself, {CONVERSIONS}" if is_number else "return a tensor"


def holds_tensor(value: Any) -> bool:
    """Whether a tensor is among its parts, at any depth."""
    return any(True for _ in tensors(value))
