"""The gradient of a batch's loss, before it is trained on: it exists, and reaches a parameter."""

import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from dlplug.errors import ConfigError
from dlplug.tasks.checks import describe, inputs_and_target, naming_inputs, tensors
from dlplug.tasks.loss_checks import check_loss, place_of_loss
from dlplug.tasks.slips import (
    CONSTANT_FIX,
    CUTS,
    MADE_EARLY,
    fix_for,
    is_out_of_memory,
    message_of,
    place_in_text,
    place_of,
)
from dlplug.tasks.unregistered_parameters import require_registered_parameters

if TYPE_CHECKING:
    from dlplug.tasks.task import Task

FEW = 2
"""Records that tell whether there is a gradient: what a pass keeps for it takes memory."""


def check_gradient(task: "Task", batch: Any, computes_gradient: bool = True) -> None:
    """The loss of a batch has a gradient, which some weight of the architecture gets; none is kept.

    Args:
        task: Has parameters to train, some of them the architecture's.
        batch: Inputs and targets.
        computes_gradient: Else only looks whether there is one.
    Raises:
        ConfigError: it has none, or computing it fails.
    """
    before = dict(task.named_parameters())
    # Within backward such a hook may step an optimizer.
    hooked = any(getattr(p, "_post_accumulate_grad_hooks", None) for p in before.values())
    try:
        reaches = _pass(task, batch, computes_gradient and not hooked)
    except Exception as error:
        if not is_out_of_memory(error):
            _forget_graph(task, batch)
        raise
    _forget_graph(task, batch)
    for name, parameter in task.named_parameters():
        if before.get(name, parameter) is not parameter:
            raise ConfigError(f"forward makes the parameter {name} anew", fix=MADE_EARLY)
    if not reaches:
        raise ConfigError(
            "the gradient of the loss reaches no parameter of the architecture", fix=MADE_EARLY
        )


def require_gradient(loss: Tensor, output: Any, function: Callable) -> None:
    """A training can go on from this loss.

    Args:
        loss: Computed with gradients enabled.
        output: The architecture's.
        function: That gave the loss.
    Raises:
        ConfigError: nothing that it is made of needs a gradient.
    """
    if loss.requires_grad:
        return
    if any(tensor.requires_grad for tensor in tensors(output)):
        raise ConfigError(
            "the loss does not depend on the output in a way that PyTorch can follow",
            where=place_of_loss(function),
            fix="compute it from the output by differentiable operations, not by argmax, rounding"
            f" or .item(): {CUTS}; {CONSTANT_FIX}",
        )
    raise _cut(output)


def first_records(batch: Any) -> Any:
    """The first records of a batch.

    Args:
        batch: Inputs and targets.
    Returns:
        All of it where its tensors are not of one length, or cannot be cut.
    """
    if len({len(tensor) if tensor.ndim else 0 for tensor in tensors(batch)}) != 1:
        return batch
    first = apply_to_collection(batch, Tensor, lambda tensor: tensor[:FEW], allow_frozen=True)
    return first if all(len(tensor) <= FEW for tensor in tensors(first)) else batch


def _pass(task: "Task", batch: Any, computes_gradient: bool) -> bool:
    """One forward, and backward; whether a gradient reaches the architecture.

    Returns:
        True where it is not computed.
    """
    with torch.enable_grad():
        loss, output = _loss_and_output(task, batch)
        require_gradient(loss, output, task.loss)
        require_registered_parameters(output, task)
        if not computes_gradient:
            return True
        reaches = _reaches_architecture(task, batch, loss)
    if not reaches and not any(tensor.requires_grad for tensor in tensors(output)):
        raise _cut(output)
    return reaches


def _loss_and_output(task: "Task", batch: Any) -> tuple[Tensor, Any]:
    with naming_inputs(inputs_and_target(batch)[0]):
        output, target = task.output_and_target(batch)
    return check_loss(task.loss_of, output, target, task.loss), output


def _reaches_architecture(task: "Task", batch: Any, loss: Tensor) -> bool:
    # By backward, since checkpointing with use_reentrant=True and reversible blocks refuse
    # torch.autograd.grad.
    kept = [(tensor, tensor.grad) for tensor in (*task.parameters(), *task.buffers())]
    try:
        for tensor, _ in kept:
            tensor.grad = None
        loss.backward()
        return any(parameter.grad is not None for parameter in task.architecture.parameters())
    except Exception as error:
        place = "" if is_out_of_memory(error) or place_of(error) else _place_in_forward(task, batch)
        by_line = "correct that line" if place or place_of(error) else None
        # PyTorch's hint is how to find that place.
        message = message_of(error).partition(" Hint:")[0] if place else message_of(error)
        raise ConfigError(
            f"the gradient of the loss cannot be computed: {message}{place}",
            fix=fix_for(error)
            or by_line
            or "look for the operation by leaving out parts of forward",
        ) from error
    finally:
        for tensor, grad in kept:
            tensor.grad = grad


def _place_in_forward(task: "Task", batch: Any) -> str:
    """Where forward made what has no gradient, as PyTorch's anomaly mode tells in a warning."""
    with warnings.catch_warnings(record=True) as told, suppress(Exception):
        warnings.simplefilter("always")
        with torch.autograd.set_detect_anomaly(True, check_nan=False):
            _loss_and_output(task, batch)[0].backward()
    return next((place for w in told if (place := place_in_text(str(w.message)))), "")


def _forget_graph(task: "Task", batch: Any) -> None:
    """Let modules keep what belongs to no graph: nothing could copy such a module.

    They keep of a pass what somebody may look at, such as attention weights.
    """
    with torch.no_grad(), suppress(Exception):
        task.loss_of(*task.output_and_target(batch))


def _cut(output: Any) -> ConfigError:
    return ConfigError(
        f"the architecture's output {describe(output)} does not depend on its parameters in a way"
        " that PyTorch can follow",
        fix=f"use a parameter that is not frozen in forward: {CUTS}",
    )
