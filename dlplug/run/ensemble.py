"""Several checkpoints whose predictions of the same records are averaged."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dlplug.data.spec import ARGUMENTS, DataSpec
from dlplug.errors import ConfigError
from dlplug.run.parts import name_of, renewed_content
from dlplug.run.prediction_stream import Predictions
from dlplug.storage.checkpoint import read_outline
from dlplug.tasks.checkpoint import architecture_of, identity, saved_record, saved_spec

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment

# What a checkpoint's record says instead of the config: filled from its data, or fitting it only.
OWN = ("task", "data", "architecture", "loss", "metrics")
# What the numbers of a prediction stand for.
MEANINGS = ("class_names", "num_classes", "target_names", "num_targets", "horizon", "quantiles")


def own_experiments(experiment: "Experiment", checkpoints: Sequence[Path]) -> list["Experiment"]:
    """For each checkpoint the experiment as its record says: data, architecture, loss, metrics.

    Means, categories, vocabulary, lengths and sizes are then its own. What was laid over the run's
    config, such as overrides of the command line, is laid over the record.

    Returns:
        ``experiment`` itself for a checkpoint that says the same.
    Raises:
        ConfigError: the predictions would be of different classes, numbers or lengths, or by
            different tasks.
    """
    contents = [
        renewed_content(read_outline(checkpoint), experiment, checkpoint)
        for checkpoint in checkpoints
    ]
    specs = [
        saved_spec(content, str(checkpoint)) or experiment.data_spec
        for content, checkpoint in zip(contents, checkpoints, strict=True)
    ]
    refuse_other_meanings(checkpoints, specs)
    found = [
        _resolved_for(experiment, spec, content, str(checkpoint))
        for spec, content, checkpoint in zip(specs, contents, checkpoints, strict=True)
    ]
    tasks = [name_of(one, "task") for one in found]
    for checkpoint, task in zip(checkpoints, tasks, strict=True):
        if task != tasks[0]:
            raise cannot(f"{checkpoint} is of task {task}, {checkpoints[0]} of {tasks[0]}")
    return found


def refuse_other_meanings(checkpoints: Sequence[Path], specs: Sequence[DataSpec]) -> None:
    """Refuse checkpoints whose predictions are of different things than the first one's.

    Raises:
        ConfigError: names both, and the first difference.
    """
    for checkpoint, spec in zip(checkpoints, specs, strict=True):
        if difference := _difference(specs[0], spec):
            raise cannot(f"{checkpoint} was trained with {difference} in {checkpoints[0]}")


def averaged_later(
    keep: Callable[[Predictions], object],
) -> Callable[[Predictions], None]:
    """Gives predictions to ``keep``, unless they have no mean: that is said with the first batch.

    What it gives raises ConfigError as `mean_of` does.
    """

    def receive(predictions: Predictions) -> None:
        _check_numbers(predictions)
        keep(predictions)

    return receive


def mean_of(parts: Sequence[Predictions]) -> Predictions:
    """The mean of several models' predictions of the same records.

    Raises:
        ConfigError: they are classes or objects, which have no mean, or of several sizes.
    """
    if len(parts) == 1:
        return parts[0]
    for part in parts:
        _check_numbers(part)
    if len(shapes := {tuple(part.shape) for part in parts}) > 1:
        raise cannot(f"they are of several sizes: {' and '.join(map(str, sorted(shapes)))}")
    return torch.stack(list(parts)).mean(dim=0)


def cannot(reason: str) -> ConfigError:
    """The error for predictions that have no mean."""
    return ConfigError(
        f"the predictions of several checkpoints cannot be averaged: {reason}",
        fix="predict with one --ckpt_path",
    )


def _check_numbers(predictions: Predictions) -> None:
    if not (isinstance(predictions, Tensor) and predictions.is_floating_point()):
        raise cannot("they are no probabilities or numbers")


def _resolved_for(
    experiment: "Experiment", spec: DataSpec, content: Mapping[str, Any], path: str
) -> "Experiment":
    record = saved_record(content, path)
    theirs = {slot: v for slot, v in (record.get("resolved") or {}).items() if slot in OWN}
    ours = {"resolved": experiment.resolved}
    # Another architecture than the config's is refused later, by both names.
    if identity(architecture_of(record)) != identity(architecture_of(ours)):
        theirs.pop("architecture", None)
    found = experiment.for_record(theirs, spec, path)
    is_same = spec == experiment.data_spec and all(
        found.resolved.get(slot) == experiment.resolved.get(slot) for slot in OWN
    )
    return experiment if is_same else found


def _difference(ours: DataSpec, theirs: DataSpec) -> str | None:
    """The first of the `MEANINGS` in which they differ, with both values."""
    # Of each position: predictions are as long as the longest record.
    lengths = ("sequence_length",) if ours.per_position else ()
    for name in (*MEANINGS, *lengths):
        one, other = getattr(ours, name), getattr(theirs, name)
        if one != other:
            return f"{name} = {other!r}, which is {one!r}"
    # Of each position, that is of each token, which the predictions then name or count.
    if ours.per_position and _learned(ours) != _learned(theirs):
        return "another vocabulary or preparation of tokens than the one"
    return None


def _learned(spec: DataSpec) -> dict[str, Any]:
    """What was learned from the records, however it was asked for."""
    return {name: value for name, value in (spec.preparation or {}).items() if name != ARGUMENTS}
