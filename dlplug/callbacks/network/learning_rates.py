"""Learning rates that differ from parameter to parameter."""

import inspect
from collections.abc import Callable

import lightning
from torch import nn

from dlplug.errors import InvalidValueError
from dlplug.optim.parameter_groups import scaled_groups


def scale_rates(
    task: lightning.LightningModule, scale: Callable[[str], float], callback: str
) -> None:
    """Let the task's optimizer learn each parameter at a factor of its learning rate.

    What an earlier callback has set stays: the factors are multiplied. Schedulers scale each
    group's own rate.

    Args:
        task: Whose ``make_groups`` is replaced; its optimizer is not built yet.
        scale: Factor of a parameter, by its name in the task.
        callback: Name, for messages.
    Raises:
        InvalidValueError: the task makes no groups, or its optimizer has no ``lr``.
    """
    make_groups = getattr(task, "make_groups", None)
    if make_groups is None:
        raise InvalidValueError(
            f"{callback}: {type(task).__name__} does not build its optimizer from make_groups()",
            known="tasks that are a dlplug.tasks.task.Task",
        )
    lr = inspect.signature(task.make_optimizer).parameters.get("lr")
    if lr is None or not isinstance(lr.default, (int, float)):
        raise InvalidValueError(
            f"{callback}: the optimizer has no learning rate to be scaled", fix="set optimizer.lr"
        )

    def scaled(module: nn.Module, weight_decay: float) -> list[dict]:
        # Looked up now: sharding keeps the names, not the objects.
        names = {id(parameter): name for name, parameter in module.named_parameters()}
        groups = make_groups(module, weight_decay)
        return scaled_groups(groups, lr.default, lambda parameter: scale(names[id(parameter)]))

    task.make_groups = scaled
