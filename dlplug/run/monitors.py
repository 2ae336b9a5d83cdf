"""Metrics that are watched: an unknown one is refused before the training starts."""

import inspect
import re

import lightning
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.utilities.model_helpers import is_overridden

from dlplug.callbacks.numbers.monitor import missing_metric
from dlplug.tasks.task import Task

# Whose parts log nothing that could be watched, but for what the task says.
OWN = ("dlplug.", "lightning.", "torchmetrics.")


def check_monitors(
    task: Task, datamodule: lightning.LightningDataModule, trainer: lightning.Trainer
) -> None:
    """Every metric that the scheduler or a callback watches will be logged.

    Where the task, a metric or a callback is somebody else's, and may log more than can be known
    before, the callbacks find out in the training.

    Args:
        task: Built, not trained.
        datamodule: After ``setup("fit")``.
        trainer: With its callbacks.
    Raises:
        InvalidValueError: names what is watched, and what is logged.
    """
    if not all(is_own(part) for part in (task, *task.metrics.values(), *trainer.callbacks)):
        return
    has_validation = is_validated(datamodule, trainer)
    logged = task.logged_names("train") | (task.logged_names("val") if has_validation else set())
    for who, monitor in watched(task, trainer):
        # Without a validation the best checkpoint is the last one.
        is_checkpoint = isinstance(who, ModelCheckpoint) and monitor.startswith("val_")
        if monitor not in logged and (has_validation or not is_checkpoint):
            raise missing_metric(name_of(who), monitor, logged)


def watched(task: Task, trainer: lightning.Trainer) -> list[tuple[Callback | None, str]]:
    """Callbacks, None for the scheduler, and the metrics that they watch."""
    found = [(c, getattr(c, "monitor", None)) for c in trainer.callbacks]
    if task.make_scheduler is not None:
        parameter = inspect.signature(task.make_scheduler).parameters.get("monitor")
        found.append((None, parameter and parameter.default))
    return [(who, monitor) for who, monitor in found if isinstance(monitor, str)]


def is_own(part: object) -> bool:
    """Whether it logs only what dlplug knows of."""
    return type(part).__module__.startswith(OWN)


def is_validated(datamodule: lightning.LightningDataModule, trainer: lightning.Trainer) -> bool:
    """Whether there will be a validation."""
    sizes = getattr(datamodule, "split_sizes", None)
    has_records = sizes is None or sizes["validation"] > 0
    return bool(
        trainer.limit_val_batches and has_records and is_overridden("val_dataloader", datamodule)
    )


def name_of(who: Callback | None) -> str:
    """As a config calls it: ``EarlyStopping`` is early_stopping."""
    if who is None:
        return "scheduler"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(who).__name__).lower()
