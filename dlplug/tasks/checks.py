"""Calls of the architecture, and what a batch must look like before it is trained on."""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dlplug.errors import ConfigError, DataError, DlplugError
from dlplug.plugin.failure import cause_of
from dlplug.tasks.slips import DTYPE_FIX, fix_for, is_dtype_slip, is_signature, message_of

# What a network raises when its input has another shape or type than it was built for; some
# libraries assert.
MISFIT = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)
SHOWN = 4
"""Parts of a list in a message; of a longer one the first."""


def call(architecture: nn.Module, inputs: Any) -> Any:
    """The architecture's output.

    Args:
        architecture: The network.
        inputs: A mapping becomes keyword arguments, a tuple or list positional ones, anything else
            is the one argument.
    """
    if isinstance(inputs, Mapping):
        return architecture(**inputs)
    return architecture(*inputs) if isinstance(inputs, (tuple, list)) else architecture(inputs)


def check_supervised(batch: Any, task: str) -> None:
    """The batch is a pair of inputs and targets.

    Raises:
        DataError: it is something else.
    """
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise DataError(f"{task} needs batches (inputs, targets), the data gives {describe(batch)}")


@contextmanager
def naming_inputs(inputs: Any) -> Iterator[None]:
    """Give what the architecture raises the shapes of its inputs.

    Raises:
        ConfigError: the architecture cannot take the inputs.
    """
    try:
        yield
    except DlplugError:
        raise
    except MISFIT as error:
        raise ConfigError(
            f"the architecture cannot take the data's inputs {describe(inputs)}:"
            f" {message_of(error)}",
            fix=fix_for(error) or _fix_for_inputs(error, inputs),
        ) from error
    except Exception as error:
        raise failure("the architecture", describe(inputs), error) from error


def _fix_for_inputs(error: Exception, inputs: Any) -> str:
    if is_signature(error) and "positional" in str(error) and isinstance(inputs, Tensor):
        return "let forward take the inputs as its one argument: forward(self, x)"
    if is_dtype_slip(error, {tensor.dtype for tensor in tensors(inputs)}):
        return DTYPE_FIX
    if isinstance(inputs, Mapping) and "x_cat" in inputs:
        return (
            "set data.categories: one_hot, which gives rows (B, D) with columns of 0 and 1, or"
            " take an architecture for categories, such as ft_transformer"
        )
    return (
        "an architecture for features needs rows (B, D), one for images (B, C, H, W), one for"
        " series (B, T, F), one for text tokens (B, T), one that writes a text, such as"
        " encoder_decoder, a source (B, S) and a target (B, T); some data can give several, such"
        " as digits with data.flatten"
    )


def failure(
    what: str, given: str, error: Exception, where: str | None = None, known: str | None = None
) -> ConfigError:
    """By what no library refuses a shape: a slip in the code.

    Args:
        what: That failed, such as ``the loss``.
        given: What it was called with.
        error: That it raised.
        where: For the error.
        known: For the error.
    Returns:
        The error to raise.
    """
    return ConfigError(
        f"{what} fails for {given}: {cause_of(error)}",
        where=where,
        known=known,
        fix="correct that line; --traceback shows how it came there",
    )


def inputs_and_target(batch: Any) -> tuple[Any, Any]:
    """The two parts of a batch; all of it and None where it has another form."""
    return tuple(batch) if isinstance(batch, (tuple, list)) and len(batch) == 2 else (batch, None)


def tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in a batch or an output, at any depth.

    Args:
        value: As for `leaves`.
    """
    return (leaf for leaf in leaves(value) if isinstance(leaf, Tensor))


def leaves(value: Any) -> Iterator[Any]:
    """What mappings, tuples, lists and the fields of dataclasses hold, at any depth.

    Args:
        value: One of these; anything else is the one leaf.
    """
    if isinstance(value, Mapping):
        parts = value.values()
    elif isinstance(value, (tuple, list)):
        parts = value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = [getattr(value, field.name, None) for field in dataclasses.fields(value)]
    else:
        yield value
        return
    for part in parts:
        yield from leaves(part)


def describe(value: Any) -> str:
    """Shape and dtype of a tensor, or the type of anything else.

    Args:
        value: Mappings, tuples and lists are gone through.
    """
    if isinstance(value, Tensor):
        layout = "" if value.layout == torch.strided else f" {_plain(value.layout)}"
        return f"{tuple(value.shape)} {_plain(value.dtype)}{layout}"
    if isinstance(value, (tuple, list)):
        is_long = len(value) > SHOWN
        shown = [describe(item) for item in value[: 1 if is_long else SHOWN]]
        return f"({', '.join(shown)}{f', ... {len(value)} in all' if is_long else ''})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {describe(v)}" for name, v in value.items()) + "}"
    kind = type(value)  # numpy's numbers are called like torch's dtypes
    return "None" if value is None else f"{'numpy.' * is_numpy(kind)}{kind.__name__}"


def is_numpy(kind: type) -> bool:
    """Whether numpy defines that type."""
    return kind.__module__.partition(".")[0] == "numpy"


def _plain(name: torch.dtype | torch.layout) -> str:
    return str(name).removeprefix("torch.")
