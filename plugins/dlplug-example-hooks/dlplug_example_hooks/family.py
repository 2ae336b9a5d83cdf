"""The optimizers, schedulers and losses of torch under the names ``torch.<Class>``."""

import inspect
from collections.abc import Callable
from types import ModuleType

import torch

from dlplug import hookimpl
from dlplug.plugin import Offer

# A config cannot write a function or another scheduler.
NOT_IN_A_CONFIG = {"lr_lambda", "schedulers"}


@hookimpl
def dlplug_components(kind: str) -> list[Offer] | None:
    """Offer what torch itself brings of ``kind``; grows and shrinks with the version of torch."""
    if kind == "optimizers":
        return _offers(torch.optim, is_optimizer)
    if kind == "schedulers":
        return _offers(torch.optim.lr_scheduler, is_scheduler)
    if kind == "losses":
        return _offers(torch.nn, is_loss)
    return None


def is_optimizer(value: type) -> bool:
    """Whether the class is an optimizer that can be built."""
    return issubclass(value, torch.optim.Optimizer) and value is not torch.optim.Optimizer


def is_scheduler(value: type) -> bool:
    """Whether the class is a scheduler whose arguments are plain, stepped without a metric."""
    base, needs_metric = _SCHEDULER, torch.optim.lr_scheduler.ReduceLROnPlateau
    if not issubclass(value, base) or issubclass(value, needs_metric) or value is base:
        return False
    return not NOT_IN_A_CONFIG & inspect.signature(value).parameters.keys()


def is_loss(value: type) -> bool:
    """Whether the class is a loss of an output and a target, without parameters to be learned."""
    if not value.__module__.startswith("torch.nn.modules.loss"):
        return False
    inputs = list(inspect.signature(value.forward).parameters)[1:]
    settings = inspect.signature(value).parameters.values()
    is_ready = all(setting.default is not setting.empty for setting in settings)
    return len(inputs) == 2 and inputs[1] == "target" and is_ready


_SCHEDULER = torch.optim.lr_scheduler.LRScheduler


def _offers(module: ModuleType, is_offered: Callable[[type], bool]) -> list[Offer]:
    names = [
        name
        for name, value in vars(module).items()
        if inspect.isclass(value) and not name.startswith("_") and is_offered(value)
    ]
    # Strings, so that nothing is kept alive and `plugins list` shows where each comes from.
    return [Offer(f"torch.{name}", f"{module.__name__}:{name}") for name in sorted(names)]
