"""The data module and the task of an experiment, ready for a Trainer."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import lightning
from lightning.pytorch.utilities import rank_zero_only

from dlplug.config.renewal import renewed_plain
from dlplug.errors import DataError, DlplugError
from dlplug.plugin import CORE
from dlplug.tasks.checkpoint import FORMAT, KEY, saved_record, saved_spec

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment


def build_data(experiment: "Experiment") -> lightning.LightningDataModule:
    """The data module, loaded for a training, which checks the data.

    Raises:
        DataError: the data cannot be read.
    """
    datamodule = experiment.datamodule
    try:
        if rank_zero_only.rank == 0:  # the other processes would download the same files
            datamodule.prepare_data()
        datamodule.setup("fit")
    except DlplugError:
        raise
    except Exception as error:
        raise DataError(
            f"loading the data failed: {type(error).__name__}: {error}",
            where=f"data {name_of(experiment, 'data')}",
        ) from error
    experiment.check_loaded_data()
    return datamodule


def prepared_as_trained(
    experiment: "Experiment", content: Mapping[str, Any], path: str | os.PathLike
) -> "Experiment":
    """The experiment whose data is prepared by what a checkpoint's training learned from its own.

    Args:
        experiment: It may have learned from the data at hand: means, classes, a vocabulary.
        content: Of the checkpoint.
        path: Of the checkpoint.
    Returns:
        ``experiment`` itself where that is the same, or the checkpoint says nothing.
    """
    spec = saved_spec(content, str(path))
    if spec is None or spec == experiment.data_spec:
        return experiment
    return experiment.for_record({}, spec, str(path))


def with_trained_classes(
    experiment: "Experiment", content: Mapping[str, Any], path: str | os.PathLike
) -> "Experiment":
    """The experiment of a run that goes on, its classes in the order of the checkpoint's outputs.

    Args:
        experiment: Its own order may be that of another version.
        content: Of the checkpoint.
        path: Of the checkpoint.
    Returns:
        ``experiment`` itself where the order is the same, or one side names no classes; else one
        whose data is prepared as that of the training.
    Raises:
        DataError: the classes are others; each output would mean something else.
    """
    spec = saved_spec(content, str(path))
    theirs, ours = (side and side.class_names for side in (spec, experiment.data_spec))
    if not theirs or not ours or tuple(theirs) == tuple(ours):
        return experiment
    if set(theirs) != set(ours):
        raise DataError(
            f"the classes are {', '.join(ours)}, those of the training were {', '.join(theirs)}",
            where=str(path),
            fix="bring the classes back as they were, or start a new run",
        )
    return prepared_as_trained(experiment, content, path)


def with_trained_seed(
    experiment: "Experiment", content: Mapping[str, Any], path: str | os.PathLike
) -> "Experiment":
    """The experiment of a run that goes on, with the checkpoint's seed where it was to draw one.

    The place in the data is one in the order that follows from the seed.

    Args:
        experiment: Its seed is the config's, or drawn by ``seed_everything: true``.
        content: Of the checkpoint.
        path: Of the checkpoint.
    """
    seed = saved_seed(content, path)
    is_drawn = experiment.given.get("seed_everything") is True
    return experiment.with_seed(seed) if is_drawn and seed is not None else experiment


def saved_seed(content: Mapping[str, Any], path: str | os.PathLike) -> int | None:
    """By which a checkpoint was trained; None where it does not say."""
    return (saved_record(content, str(path)).get("resolved") or {}).get("seed_everything")


def build_task(experiment: "Experiment") -> lightning.LightningModule:
    """The task, its weights drawn from the experiment's seed whatever was drawn before."""
    lightning.seed_everything(experiment.seed, workers=True, verbose=False)
    return experiment.build_task()


def record_of(experiment: "Experiment") -> dict[str, Any]:
    """What a checkpoint says about its run: plain data only."""
    return {
        "format": FORMAT,
        "resolved": experiment.resolved,
        "components": [component.id for component in experiment.components],
        "data_spec": experiment.data_spec.to_dict(),
    }


def renewed_content(
    content: Mapping[str, Any], experiment: "Experiment", path: str | os.PathLike
) -> Mapping[str, Any]:
    """A checkpoint whose record calls components and arguments by their present names.

    Args:
        content: As loaded.
        experiment: Knows who was called what.
        path: Of the checkpoint.
    Raises:
        CheckpointError: the record is not what dlplug writes.
    """
    record = saved_record(content, str(path))
    if not record.get("resolved"):
        return content
    resolved = renewed_plain(record["resolved"], experiment.registry, str(path))
    return {**content, KEY: {**record, "resolved": resolved}}


def name_of(experiment: "Experiment", slot: str) -> str:
    """Name of what stands in a slot, for messages; the id of what is not built in."""
    chosen = experiment.resolved.get(slot)
    if isinstance(chosen, Mapping):
        chosen = chosen.get("name", chosen.get("class_path"))
    return str(chosen).removeprefix(f"{CORE}:")
