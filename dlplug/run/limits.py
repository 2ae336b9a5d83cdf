"""The Trainer's limits beside the number of batches that the data has."""

import math
from typing import TYPE_CHECKING, Any

import lightning
from lightning.fabric.utilities.data import sized_len
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.utilities import CombinedLoader
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.utils.data import DataLoader

from dlplug.data.loader import SeededLoader
from dlplug.errors import InvalidValueError

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment

STAGES = {"train": "training", "val": "validation", "test": "test"}


def check_limits(
    experiment: "Experiment", trainer: lightning.Trainer, stages: tuple[str, ...] = tuple(STAGES)
) -> None:
    """A share of the batches is one at least, and a validation comes within the epoch.

    Lightning says so when it builds the loaders: in the run's folder, and of the test after the
    training. What is known only there is left to it: loaders that need the Trainer, and a share of
    a process that loses a batch more.

    Args:
        experiment: Its data module is loaded.
        trainer: That will train or evaluate.
        stages: Of `STAGES`, those that it will go through.
    Raises:
        InvalidValueError: names the limit and the number of batches.
    """
    for stage in stages:
        limit = getattr(trainer, f"limit_{stage}_batches")
        if _is_share(limit):
            overfits = stage != "test" and trainer.overfit_batches
            key = "trainer.overfit_batches" if overfits else f"trainer.limit_{stage}_batches"
            for length in _lengths(experiment.datamodule, stage, trainer):
                _check_known(experiment, key, limit, stage, length)
                if length and int(limit * length) < 1:  # a split may be empty by intent
                    raise InvalidValueError(
                        f"{key} = {limit} of {length} {STAGES[stage]} batches{_each(trainer)} is"
                        " not one",
                        where=f"{experiment.where(key)}, {key}",
                        known="shares that are a batch or more, and whole numbers of batches",
                        fix=f"set it higher, or to the number 1: --{key} 1",
                    )
    if "train" in stages and trainer.limit_val_batches > 0:
        _check_interval(experiment, trainer)


def _check_interval(experiment: "Experiment", trainer: lightning.Trainer) -> None:
    # Lightning's Trainer has none where the interval is a time.
    key, interval = "trainer.val_check_interval", getattr(trainer, "val_check_interval", None)
    if _is_share(interval):
        for length in _lengths(experiment.datamodule, "train", trainer):
            _check_known(experiment, key, interval, "train", length)
    elif type(interval) is int and trainer.check_val_every_n_epoch is not None:
        limit = trainer.limit_train_batches
        lengths = [
            min(n, limit) if type(limit) is int else int(n * limit)
            for n in _lengths(experiment.datamodule, "train", trainer)
            if n is not None
        ]
        if 0 < max(lengths, default=0) < interval:
            raise InvalidValueError(
                f"{key} = {interval} batches, of which an epoch has {max(lengths)}{_each(trainer)}",
                where=f"{experiment.where(key)}, {key}",
                known=f"1 to {max(lengths)} batches, a share of an epoch up to 1.0, or a time",
                fix="set it lower, or count batches across epochs:"
                " --trainer.check_val_every_n_epoch null",
            )


def _is_share(limit: object) -> bool:
    return isinstance(limit, float) and 0 < limit < 1


def _check_known(
    experiment: "Experiment", key: str, share: float, stage: str, length: int | None
) -> None:
    if length is None:
        raise InvalidValueError(
            f"{key} = {share} is a share, and the data does not know its number of {STAGES[stage]}"
            " batches",
            where=f"{experiment.where(key)}, {key}",
            fix=f"give a number of batches: --{key} 100",
        )


def _lengths(
    datamodule: lightning.LightningDataModule, stage: str, trainer: lightning.Trainer
) -> list[int | None]:
    """Batches of each loader in each process, or one more; None where one does not know."""
    if not is_overridden(f"{stage}_dataloader", datamodule):
        return []
    try:
        loaders = _loaders(datamodule, stage)
    except Exception:  # it may need the Trainer; else whoever needs the loader tells
        return []
    loaders = CombinedLoader(loaders, "sequential").flattened
    return [_share(trainer, loader, sized_len(loader)) for loader in loaders]


def _loaders(datamodule: lightning.LightningDataModule, stage: str) -> Any:
    if stage != "test":
        return getattr(datamodule, f"{stage}_dataloader")()
    datamodule.setup("test")
    try:
        return datamodule.test_dataloader()
    finally:
        datamodule.setup("fit")  # closes the test split


def _share(trainer: lightning.Trainer, loader: Any, length: int | None) -> int | None:
    """Of its batches, those of a process, where Lightning or the data module divides them."""
    if not length or not isinstance(loader, DataLoader):
        return length
    # How many parts a sharded model leaves is known when the processes have met.
    if isinstance(trainer.strategy, ModelParallelStrategy):
        return length
    is_ours = isinstance(loader, SeededLoader)  # made without a Trainer, for one process
    is_divided = is_ours or trainer._data_connector._requires_distributed_sampler(loader)
    return math.ceil(length / trainer.world_size) if is_divided else length


def _each(trainer: lightning.Trainer) -> str:
    return " in each process" if trainer.world_size > 1 else ""
