"""Validate or test a checkpoint, and keep count of the tests."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
from lightning.fabric.utilities.data import sized_len
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.utilities.model_helpers import is_overridden

from dlplug.callbacks.checkpoint import Checkpoint
from dlplug.callbacks.heartbeat import watched
from dlplug.callbacks.implicit.progress import progress_bar
from dlplug.callbacks.implicit.termination import Termination
from dlplug.data.quarantine import gathered, quarantine_of
from dlplug.errors import ConfigError
from dlplug.run.folder import Run
from dlplug.run.limits import check_limits
from dlplug.run.parts import (
    build_data,
    build_task,
    name_of,
    prepared_as_trained,
    record_of,
    renewed_content,
)
from dlplug.run.result import Result
from dlplug.run.trained_data import OTHER_DATA, check_split, kept_for
from dlplug.run.trainer import build_trainer
from dlplug.storage.checkpoint import read_outline
from dlplug.storage.files import write_text
from dlplug.tasks.checkpoint import check_architecture

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment

STAGES = {"validate": "val", "test": "test"}


def evaluate(
    verb: str,
    experiment: "Experiment",
    run: Run | None,
    checkpoint: Path,
    progress: bool,
    any_split: bool = False,
) -> Result:
    """Metrics of a checkpoint on the validation or the test split.

    Args:
        verb: ``validate`` or ``test``.
        experiment: Names the data and the architecture; means, classes and the like are the
            checkpoint's.
        run: Where a test is recorded, or None.
        checkpoint: Whose weights.
        progress: Whether to show a progress bar.
        any_split: Whether another division of the training's data is taken.
    Raises:
        DlplugError: the checkpoint does not fit, there is nothing to evaluate on, or it is no
            longer what the training kept for that.
    """
    started = time.monotonic()
    content = read_outline(checkpoint)
    experiment = prepared_as_trained(experiment, content, checkpoint)
    datamodule = build_data(experiment)
    records = check_split(verb, experiment, content, checkpoint, any_split)
    task = task_of(experiment, checkpoint)
    if verb == "test" and not has_test_data(task, datamodule):
        raise ConfigError(
            f"data {name_of(experiment, 'data')} has no test split",
            # Whatever would be made a test split now has been trained on.
            fix=(
                "divide the data as for the training"
                if kept_for("test", content, checkpoint)
                else "train again with data.test_fraction above 0, or use the verb `validate`"
            ),
        )
    trainer = evaluation_trainer(experiment, progress)
    check_limits(experiment, trainer, (STAGES[verb],))
    loop = getattr(trainer, f"{verb}_loop")
    quarantine = quarantine_of(datamodule)
    if quarantine is not None and run is not None:
        quarantine.write_to(run.path)
    with watched(trainer):
        values = getattr(trainer, verb)(
            task, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True, verbose=False
        )
    metrics = {name: float(value) for part in values for name, value in part.items()}
    if not metrics:
        raise ConfigError(f"data {name_of(experiment, 'data')} has no records to {verb} on")
    result = Result(verb, metrics, checkpoint=checkpoint, is_main=trainer.is_global_zero)
    result.quarantined = gathered(datamodule)
    result.records, result.batches = records, limited(loop)
    if run is not None and result.is_main:
        result.run = run.path
        # That of another run, or on other data, is no test of this one.
        if verb == "test" and records != OTHER_DATA and run.owns(checkpoint):
            result.tests = record_test(run, result)
    result.seconds = round(time.monotonic() - started, 3)
    return result


def task_of(experiment: "Experiment", checkpoint: Path) -> lightning.LightningModule:
    """The task, once it is clear that the checkpoint fits it.

    Raises:
        CheckpointError: it does not.
    """
    content = renewed_content(read_outline(checkpoint), experiment, checkpoint)
    task = build_task(experiment)
    check_architecture(content, record_of(experiment), task.state_dict(), str(checkpoint))
    return task


def evaluation_trainer(
    experiment: "Experiment", progress: bool, forced: Mapping[str, Any] | None = None
) -> lightning.Trainer:
    """A Trainer that writes nothing; ``forced`` as for `build_trainer`."""
    callbacks = [c for c in experiment.build_callbacks() if not isinstance(c, Checkpoint)]
    callbacks.append(Termination())
    progress = progress and experiment.trainer_arguments.get("enable_progress_bar", True)
    if progress and not any(isinstance(c, ProgressBar) for c in callbacks):
        callbacks.append(progress_bar())
    return build_trainer(
        experiment,
        callbacks=callbacks,
        forced=forced,
        enable_progress_bar=progress,
        enable_checkpointing=False,
    )


def limited(loop: Any) -> str | None:
    """``1 of 12`` batches where an evaluation of Lightning left some out; None where it did not.

    Args:
        loop: Of the trainer, after it has run.
    """
    loaders = loop._combined_loader.flattened if loop._combined_loader is not None else []
    there = [sized_len(loader) for loader in loaders]
    if None in there or sum(loop.max_batches) >= sum(there):
        return None
    return f"{sum(loop.max_batches)} of {sum(there)}"


def has_test_data(task: lightning.LightningModule, data: lightning.LightningDataModule) -> bool:
    """Whether both sides know of a test; a test split of no records does not count."""
    is_known = is_overridden("test_step", task) and is_overridden("test_dataloader", data)
    sizes = getattr(data, "split_sizes", None)
    return is_known and (sizes is None or sizes["test"] > 0)


def record_test(run: Run, result: Result) -> int:
    """Count and write test.json; returns how often the run has been tested, this time included.

    Args:
        run: That was tested, by a checkpoint of its own.
        result: Its checkpoint, None for the weights at the training's end, its metrics, and what
            is to be said of its records and batches.
    """
    path = result.checkpoint
    with run.alone():
        # Counted first: the test was taken, whether or not its numbers can be written.
        tests = run.update_alone(tests=run.status.get("tests", 0) + 1)["tests"]
        entry = {"checkpoint": path and path.name, "tests": tests, "metrics": result.metrics}
        for name in ("records", "batches"):
            if getattr(result, name) is not None:
                entry[name] = getattr(result, name)
        write_text(run.test, json.dumps(entry, indent=2) + "\n")
    return tests
