"""A short training on one device that leaves nothing behind, for looking at it."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import lightning
import torch
from lightning.fabric.utilities.apply_func import move_data_to_device
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from dlplug.callbacks.implicit.random_state import capture, restore
from dlplug.data.loader import as_is
from dlplug.errors import ConfigError
from dlplug.run.parts import build_data, build_task, name_of
from dlplug.run.preflight import preflight
from dlplug.run.trainer import build_trainer

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment

# The trial's own end counts, and neither validations nor tests take place.
TRIAL = {
    "max_epochs": -1,
    "min_epochs": None,
    "min_steps": None,
    "max_time": None,
    "fast_dev_run": False,
    "overfit_batches": 0.0,
    "limit_train_batches": 1.0,
    "limit_val_batches": 0,
    "num_sanity_val_steps": 0,
    "val_check_interval": 1.0,
    "check_val_every_n_epoch": 1,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "devices": 1,
    "num_nodes": 1,
    "strategy": "auto",
    "profiler": None,
}


class Trial:
    """An experiment's data and task, checked against each other, for short trainings.

    They use one device, and none of the config's callbacks and loggers unless these are given; the
    precision, the clipping and the accumulation of gradients are the config's.

    Args:
        experiment: What to look at.
        keep_schedule: Whether the learning rate follows the config's schedule.
    Raises:
        DlplugError: something does not fit.
    """

    def __init__(self, experiment: "Experiment", keep_schedule: bool = False):
        self.experiment = experiment
        self.keep_schedule = keep_schedule
        self.datamodule = build_data(experiment)
        self.task = build_task(experiment)
        if not keep_schedule and hasattr(self.task, "make_scheduler"):
            self.task.make_scheduler = None
        sides = [f"{slot} {name_of(experiment, slot)}" for slot in ("architecture", "data")]
        preflight(self.task, self.datamodule, self.trainer(1), ", ".join(sides))

    def trainer(
        self,
        steps: int,
        callbacks: Sequence[Callback] = (),
        root: str | os.PathLike = ".",
        **forced: Any,
    ) -> lightning.Trainer:
        """A Trainer that ends after so many optimizer steps.

        Args:
            steps: Optimizer steps.
            callbacks: In their order.
            root: Folder for what callbacks write.
            forced: Arguments of the Trainer, whatever the config says.
        """
        own = [] if self.keep_schedule else [ConstantRate()]
        return build_trainer(
            self.experiment,
            callbacks=[*own, *callbacks],
            root=root,
            forced=TRIAL | {"max_steps": steps} | forced,
        )

    def fit(self, trainer: lightning.Trainer, batches: list | None = None) -> None:
        """Train; on the data module's batches, or on these as they are."""
        if batches is None:
            trainer.fit(self.task, datamodule=self.datamodule)
        else:
            loader = DataLoader(batches, batch_size=None, collate_fn=as_is)
            trainer.fit(self.task, train_dataloaders=loader, val_dataloaders=[])

    def batch(self, num_records: int | None = None) -> Any:
        """The first training batch without augmentation, cut to its first records."""
        batch = next(iter(self.datamodule.train_dataloader()))
        return batch if num_records is None else first_of(batch, num_records)

    def check_optimises_itself(self, what: str) -> None:
        """The task leaves its optimization to Lightning.

        Raises:
            ConfigError: it does not.
        """
        if not self.task.automatic_optimization:
            raise ConfigError(
                f"{what} needs one loss and one optimizer, and task"
                f" {name_of(self.experiment, 'task')} steps its optimizers itself",
            )


class ConstantRate(Callback):
    """Take the schedule away: a trial is no beginning of a whole training."""

    def on_train_start(self, trainer: lightning.Trainer, pl_module) -> None:
        """Before the first step; a schedule has set its first rate already when it was made."""
        if trainer.strategy.lr_scheduler_configs:
            for optimizer in trainer.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group.get("initial_lr", group["lr"])
        trainer.strategy.lr_scheduler_configs = []


@contextmanager
def untouched(task: lightning.LightningModule) -> Iterator[None]:
    """Put weights, buffers, modes, devices and random states back as they were."""
    state = capture()
    modes = {module: module.training for module in task.modules()}
    kept = {name: t.detach().clone() for name, t in task.state_dict().items()}
    device = next((p.device for p in task.parameters()), torch.device("cpu"))
    try:
        yield
    finally:
        task.to(device)
        task.zero_grad(set_to_none=True)
        with torch.no_grad():
            for name, tensor in task.state_dict().items():
                tensor.copy_(kept[name])
        for module, mode in modes.items():
            module.training = mode
        restore(state)


def first_of(value: Any, count: int) -> Any:
    """The first ``count`` records of every tensor in a batch."""
    if isinstance(value, torch.Tensor):
        return value[:count] if value.ndim else value
    if isinstance(value, dict):
        return {name: first_of(part, count) for name, part in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(first_of(part, count) for part in value)
    return value


def size_of(batch: Any) -> int:
    """Records in a batch: the length of the first tensor."""
    if isinstance(batch, torch.Tensor):
        return len(batch)
    parts = batch.values() if isinstance(batch, dict) else batch
    return size_of(next(iter(parts)))


def to_device(batch: Any, device: torch.device) -> Any:
    """The batch on a device."""
    return move_data_to_device(batch, device)
