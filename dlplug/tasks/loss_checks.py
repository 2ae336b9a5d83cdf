"""The loss of a batch, before it is trained on: one real number, made of output and target."""

import inspect
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from dlplug.errors import ConfigError, DlplugError
from dlplug.tasks.checks import MISFIT, describe, failure
from dlplug.tasks.output_checks import fix_for_no_tensor, holds_tensor
from dlplug.tasks.slips import fix_for, is_an_authors, is_signature, message_of, place_of

ORDER = "a loss is called with the output first, then the target"
ANOTHER = "choose a loss for this task: python -m dlplug plugins list --kind losses"


def check_loss(loss_of: Callable, output: Any, target: Any, loss: Callable | None = None) -> Tensor:
    """The loss can be taken, is one number, and leaves both sides as they are.

    A loss, or a part of one, with ``check_target(target)`` is asked what it makes of the target.

    Args:
        loss_of: ``loss_of(output, target)``.
        output: The architecture's.
        target: What the loss compares it with.
        loss: The one that is used, for its name and place; None where nobody needs them.
    Returns:
        The loss.
    Raises:
        ConfigError: it cannot, or is something else.
        DlplugError: ``check_target`` refuses the target.
    """
    where = None if loss is None else place_of_loss(loss)
    sides = {"output": output, "target": target}
    versions = {name: _version(side) for name, side in sides.items()}
    try:
        value = loss_of(output, target)
    except MISFIT as error:
        raise ConfigError(
            f"the loss cannot compare the output {describe(output)} with the target"
            f" {describe(target)}: {message_of(error)}",
            where=where,
            known=where and ORDER,
            fix=_fix_for(error, loss_of, output, target),
        ) from error
    except DlplugError:
        raise
    except Exception as error:
        given = f"the output {describe(output)} and the target {describe(target)}"
        raise failure("the loss", given, error, where, known=where and ORDER) from error
    if fix := fix_for_number(value):
        raise ConfigError(
            f"the loss gives {describe(value)} for the output {describe(output)}",
            where=where,
            known="a scalar tensor of a floating-point number",
            fix=fix,
        )
    check_target(loss, target)
    for name, version in versions.items():
        if _version(sides[name]) != version:
            raise ConfigError(
                f"the loss changes the {name} in place, which the metrics get after it",
                where=where,
                fix=f"make a new tensor, {name} = {name} - 1 instead of {name} -= 1, or change"
                f" {name}.clone()",
            )
    return value


def check_target(loss: Callable | None, target: Any) -> None:
    """A loss, and each part of one, makes sense of the values of a target.

    Args:
        loss: Asked where it has ``check_target(target)``.
        target: Of a batch.
    Raises:
        DlplugError: it does not.
    """
    for part in loss.modules() if isinstance(loss, nn.Module) else ():
        if hasattr(part, "check_target") and isinstance(target, Tensor):
            part.check_target(target)


def fix_for_number(value: Any) -> str | None:
    """What to do about a loss that is no real number.

    Args:
        value: What a loss gives.
    Returns:
        None where it is one.
    """
    if value is None:
        return "end it with 'return' and the loss"
    if not isinstance(value, Tensor):
        if holds_tensor(value):
            return "return the one number to be minimised, and nothing beside it"
        return fix_for_no_tensor(value)
    if value.ndim:
        return "reduce it, by mean() as a rule"
    if value.is_complex():
        return "return a real number: loss.abs(), or loss.real"
    if not value.is_floating_point():
        return "compute it by differentiable operations: counts, comparisons and argmax are none"
    return None


def takes_swapped(loss_of: Callable, output: Any, target: Any) -> bool:
    """Whether a loss is one number with its arguments in the other order.

    Args:
        loss_of: ``loss_of(output, target)``.
        output: The architecture's.
        target: What the loss compares it with.
    """
    with suppress(Exception), torch.no_grad():  # of whatever kind: it does not take them
        return fix_for_number(loss_of(target, output)) is None
    return False


def _fix_for(error: Exception, loss_of: Callable, output: Any, target: Any) -> str:
    if isinstance(error, DlplugError):
        return ANOTHER
    if fix := fix_for(error):
        return fix
    if takes_swapped(loss_of, output, target):
        return "swap its arguments, which are (target, output)"
    if is_signature(error):
        return "let it take these two alone, by position"
    return f"correct that line, or {ANOTHER}" if place_of(error) else ANOTHER


def _version(side: Any) -> int:
    """How often a tensor was changed in place; 0 where nobody counts."""
    return side._version if isinstance(side, Tensor) and not side.is_inference() else 0


def place_of_loss(loss: Callable) -> str | None:
    """Name, file and line of an author's loss.

    Args:
        loss: A function, a partial of one, or an object that is called.
    Returns:
        None for dlplug's and PyTorch's.
    """
    loss = getattr(loss, "func", loss)  # of a partial
    is_function = inspect.isroutine(loss)
    named = loss if is_function else type(loss)
    function = loss if is_function else getattr(named, "forward", named.__call__)
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is not None and is_an_authors(code.co_filename):
        return f"loss {named.__qualname__}, {code.co_filename}, line {code.co_firstlineno}"
    if is_function or not is_an_authors(path := inspect.getfile(named)):
        return None
    return f"loss {named.__qualname__}, {path}"
