"""Calling what is otherwise called only during training, so that a bad value shows before."""

import inspect
from collections.abc import Callable

from torch import nn
from torch.nn.parameter import is_lazy

# Longer than any warm-up that is meant; the real number is known when the training starts.
ENOUGH_STEPS = 10**9


def try_optimizer(
    architecture: nn.Module, optimizer: Callable, scheduler: Callable | None = None
) -> None:
    """Make the optimizer and its schedule once, and throw them away.

    Args:
        architecture: Whose parameters are used; nothing is tried when it has none yet.
        optimizer: ``optimizer(parameters)``.
        scheduler: ``scheduler(optimizer[, total_steps=...])``, or None.
    Raises:
        DlplugError: One of them refuses its arguments.
    """
    parameters = list(architecture.parameters())
    if not parameters or any(is_lazy(parameter) for parameter in parameters):
        return
    made = optimizer(parameters)
    if scheduler is None:
        return
    takes_steps = "total_steps" in inspect.signature(scheduler).parameters
    is_told = "total_steps" in getattr(scheduler, "keywords", {})
    scheduler(made, **({"total_steps": ENOUGH_STEPS} if takes_steps and not is_told else {}))
