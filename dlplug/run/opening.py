"""Make or reopen a run folder for a training."""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback

from dlplug.callbacks.ema import EMA
from dlplug.callbacks.metric_state import KEY as METRIC_STATE
from dlplug.callbacks.swa import SWA
from dlplug.config.yaml_dialect import render
from dlplug.errors import CheckpointError, InvalidValueError, RunError
from dlplug.loggers.metrics_file import cut_metrics
from dlplug.run.environment import environment
from dlplug.run.folder import Run
from dlplug.run.lock import lock_difference
from dlplug.storage.checkpoint import read_checkpoint
from dlplug.storage.files import write_text
from dlplug.tasks.checkpoint import identity, saved_record

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment


def fill_run(run: Run, experiment: "Experiment", lock: str) -> None:
    """Write what is known at the start of a new run.

    Args:
        run: Just allocated.
        experiment: Its data module is loaded.
        lock: Text of plugins.lock.
    """
    write_text(run.config, render(experiment.given))
    write_text(run.resolved, experiment.to_yaml())
    write_text(run.lock, lock)
    surroundings = environment(experiment.seed, experiment.datamodule)
    write_text(run.environment, json.dumps(surroundings, indent=2) + "\n")


def reopen_run(run: Run, experiment: "Experiment", lock: str, checkpoint: Path) -> None:
    """Prepare an old run for going on after ``checkpoint``.

    Metrics from after the checkpoint are taken out, since they will be written again. What has
    changed in config or code stands beside the original, as in ``resolved.1.yaml``, and a change of
    code is said on standard error.
    """
    if run.lock.exists():
        difference = lock_difference(
            run.lock.read_text(encoding="utf-8"), lock, experiment.registry.renames
        )
        if difference:
            print(f"the code is not what {run.path} began with: {difference}", file=sys.stderr)
    times = run.status.get("resumed", 0) + 1
    for path, text in ((run.resolved, experiment.to_yaml()), (run.lock, lock)):
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_text(path.with_name(f"{path.stem}.{times}{path.suffix}"), text)
    content = read_checkpoint(checkpoint)
    pending = (content.get(METRIC_STATE) or {}).get("row")
    cut_metrics(run.metrics, content["global_step"], pending, run.status["status"] == "finished")
    run.update(status="running", resumed=times, finished=None)


def check_average(content: Mapping[str, Any], callbacks: Iterable[Callback], path: Path) -> None:
    """A checkpoint whose weights are averages goes on with the callback that averages.

    Raises:
        CheckpointError: it is missing; the optimizer's state does not belong to the averages.
    """
    callbacks = list(callbacks)
    for kind in (EMA, SWA):
        if kind.key in content and not any(isinstance(callback, kind) for callback in callbacks):
            raise CheckpointError(
                f"the checkpoint's weights are averages by the callback {kind.key}, which is not"
                " configured",
                where=str(path),
                fix=f"add {kind.key} to the callbacks",
            )


def check_optimizer(content: Mapping[str, Any], record: Mapping[str, Any], path: Path) -> None:
    """The optimizer's arguments are the checkpoint's: its state brings them along.

    Raises:
        InvalidValueError: one differs, and the config's value would be ignored.
    """
    saved = (saved_record(content, str(path)).get("resolved") or {}).get("optimizer") or {}
    ours = record["resolved"].get("optimizer") or {}
    saved, ours = (dict(chosen, name=identity(chosen)) for chosen in (saved, ours))
    for key in sorted(saved.keys() & ours.keys(), key=lambda key: (key != "name", key)):
        if saved[key] != ours[key]:
            raise InvalidValueError(
                f"the config sets optimizer.{key}: {ours[key]!r}, the checkpoint continues with"
                f" {saved[key]!r}",
                where=str(path),
                fix=f"leave optimizer.{key} as it was, or start a new training",
            )


def check_not_done(run: Run | None, checkpoint: Path, max_epochs: int | None) -> None:
    """A training goes on only when there are more epochs to train.

    Args:
        run: That goes on; None for a new one from the checkpoint.
        checkpoint: Where it goes on.
        max_epochs: Of the whole training; None or -1 for no end.
    Raises:
        RunError: there are none.
    """
    if max_epochs is None or max_epochs < 0:
        return
    is_finished = run is not None and run.status["status"] == "finished"
    epochs = read_checkpoint(checkpoint).get("epoch", -1) + is_finished
    if epochs >= max_epochs:
        what = f"{run.path} has finished its" if is_finished else f"{checkpoint} is after"
        raise RunError(
            f"{what} {epochs} epochs, and trainer.max_epochs is {max_epochs}",
            fix=f"raise trainer.max_epochs above {epochs} to train longer, or start a new run",
        )
