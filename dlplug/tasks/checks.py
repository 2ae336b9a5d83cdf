"""Calls of the architecture, and what a batch must look like before it is trained on."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from dlplug.errors import ConfigError, DataError, DlplugError
from dlplug.plugin.failure import cause_of

# What a network raises when its input has another shape or type than it was built for; some
# libraries assert.
MISFIT = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)


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
        has_categories = isinstance(inputs, Mapping) and "x_cat" in inputs
        raise ConfigError(
            f"the architecture cannot take the data's inputs {describe(inputs)}: {error}",
            fix="set data.categories: one_hot, which gives rows (B, D) with columns of 0 and 1, or"
            " take an architecture for categories, such as ft_transformer"
            if has_categories
            else "an architecture for features needs rows (B, D), one for images (B, C, H, W), one"
            " for series (B, T, F), one for text tokens (B, T), one that writes a text, such as"
            " encoder_decoder, a source (B, S) and a target (B, T); some data can give several,"
            " such as digits with data.flatten",
        ) from error
    except Exception as error:
        raise _failure("the architecture", describe(inputs), error) from error


def check_loss(loss_of: Callable, output: Any, target: Any) -> None:
    """The loss can be taken, and is one number.

    Args:
        loss_of: ``loss_of(output, target)``.
        output: The architecture's.
        target: What the loss compares it with.
    Raises:
        ConfigError: it cannot, or is something else.
    """
    try:
        loss = loss_of(output, target)
    except MISFIT as error:
        raise ConfigError(
            f"the loss cannot compare the output {describe(output)} with the target"
            f" {describe(target)}: {error}",
            fix="choose a loss for this task: python -m dlplug plugins list --kind losses",
        ) from error
    except DlplugError:
        raise
    except Exception as error:
        sides = f"the output {describe(output)} and the target {describe(target)}"
        raise _failure("the loss", sides, error) from error
    if not isinstance(loss, Tensor) or loss.ndim != 0:
        raise ConfigError(
            f"the loss gives {describe(loss)} for the output {describe(output)}",
            known="a scalar tensor",
            fix="reduce it, by mean() as a rule"
            if isinstance(loss, Tensor)
            else "return the tensor itself, without .item() or float(): a number has no gradient",
        )


def _failure(what: str, given: str, error: Exception) -> ConfigError:
    """By what no library refuses a shape: a slip in the code."""
    return ConfigError(
        f"{what} fails for {given}: {cause_of(error)}",
        fix="correct that line; --traceback shows how it came there",
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
    rows = next(iter(tensors(inputs)))
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(rows):
        raise ConfigError(
            f"the architecture gives {describe(output)} for inputs {describe(inputs)}",
            known="scores (B, C), one row for each record",
            fix="let forward return one tensor, and keep the batch as the first axis: flatten with"
            " flatten(1), take means over the axes from 1 on",
        )
    if width is not None and output.shape[1] != width:
        raise ConfigError(
            f"the architecture gives {output.shape[1]} scores, the data has {width} {what}",
            fix=f"leave out the number of {what}: it is filled in from the data",
        )


def tensors(value: Any):
    """The tensors in a batch's inputs."""
    if isinstance(value, Tensor):
        yield value
    else:
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from tensors(part)


def describe(value: Any) -> str:
    """Shape and dtype of a tensor, or the type of anything else."""
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(describe(item) for item in value)})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {describe(v)}" for name, v in value.items()) + "}"
    return type(value).__name__
