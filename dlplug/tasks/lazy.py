"""Lazy modules (``nn.LazyLinear``): their weights get shapes before anybody asks for them.

PyTorch makes such weights in the first forward pass. Optimizers, checkpoints and moving averages
need them before, so an architecture gets one pass as soon as it is built.
"""

import inspect
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from dlplug.errors import InvalidValueError
from dlplug.tasks.checks import call, describe, naming_inputs
from dlplug.tasks.modes import set_modes

SHOWN = 3
"""Names of weights in a message."""


def lazy_names(model: nn.Module) -> list[str]:
    """The parameters and buffers that have no shape yet."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return [name for name, tensor in named if is_lazy(tensor)]


def argument_names(model: nn.Module) -> list[str]:
    """Of its ``forward``; none where they are not told, as by compiled code."""
    try:
        return list(inspect.signature(model.forward).parameters)
    except (AttributeError, TypeError, ValueError):
        return []


def give_shapes(model: nn.Module, inputs: Any, label: str) -> None:
    """Take inputs through the model once if it has weights without a shape; else do nothing.

    The modes of its modules are as before; the new weights are drawn from the global seed.

    Args:
        model: Just built.
        inputs: A batch as it gets them; None where nobody knows their form.
        label: Of the model, for errors: ``architecture 'acme'``.
    Raises:
        ConfigError: it cannot take the inputs, or leaves weights without a shape.
    """
    lazy = lazy_names(model)
    if not lazy:
        return
    if inputs is None:
        raise InvalidValueError(
            f"{label} has weights without a shape, and the data does not tell what its inputs are:"
            f" {_shown(lazy)}",
            fix="give its layers their sizes (nn.Linear, not nn.LazyLinear), or let the data module"
            " publish a data_spec, such as in_channels and image_size",
        )
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad(), naming_inputs(inputs):
            call(model.eval(), inputs)
    finally:
        set_modes(model, modes)
    if left := lazy_names(model):
        raise InvalidValueError(
            f"{label} has weights without a shape after inputs {describe(inputs)}: {_shown(left)}",
            fix="use their layers in forward, or delete them",
        )


def refuse_lazy(part: Any, label: str) -> None:
    """Refuse a module with weights without a shape, where there is nothing to try it with.

    Raises:
        InvalidValueError: it has some.
    """
    if isinstance(part, nn.Module) and (lazy := lazy_names(part)):
        raise InvalidValueError(
            f"{label} has weights without a shape: {_shown(lazy)}",
            fix="give its layers their sizes: nn.Linear, not nn.LazyLinear",
        )


def _shown(names: list[str]) -> str:
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + rest
