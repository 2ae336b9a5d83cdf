"""Whether a training can go on from a checkpoint."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback, EarlyStopping
from torch import nn

from dlplug.callbacks.early_stopping import has_stopped
from dlplug.callbacks.ema import EMA
from dlplug.callbacks.swa import SWA
from dlplug.errors import CheckpointError, InvalidValueError, RunError
from dlplug.plugin import CORE
from dlplug.run.folder import Run
from dlplug.run.parts import record_of, renewed_content, saved_seed
from dlplug.storage.checkpoint import read_outline
from dlplug.tasks.checkpoint import check_architecture, identity, saved_record

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment

# What a scheduler of torch counts. Its state_dict() is all that it has, but for functions, and
# load_state_dict() puts all of it back, arguments as well.
COUNTERS = {
    "base_lrs",
    "last_epoch",
    "lr_lambdas",
    "_get_lr_called_within_step",
    "_is_initial",
    "_last_lr",
    "_step_count",
}


def check_continuation(
    checkpoint: Path,
    experiment: "Experiment",
    task: nn.Module,
    callbacks: Sequence[Callback],
    run: Run | None,
    max_epochs: int | None,
    max_steps: int = -1,
    min_epochs: int | None = None,
) -> None:
    """The checkpoint fits what is to go on from it.

    Args:
        checkpoint: Where it goes on.
        experiment: What is to be trained.
        task: Built, not trained.
        callbacks: Of the training.
        run: That goes on; None for a new one from the checkpoint.
        max_epochs: Of the whole training; None or -1 for no end.
        max_steps: Of the whole training, optimizer steps; -1 for no end.
        min_epochs: Of the whole training, before which nothing stops it; None for none.
    Raises:
        DlplugError: it is damaged, or does not fit.
    """
    record = record_of(experiment)
    content = renewed_content(read_outline(checkpoint), experiment, checkpoint)
    check_architecture(content, record, task.state_dict(), str(checkpoint))
    check_average(content, callbacks, checkpoint)
    check_optimizer(content, record, checkpoint)
    check_scheduler(content, record, checkpoint)
    if run is not None:
        check_loss(content, record, checkpoint)
        check_seed(content, experiment.seed, checkpoint)
    check_not_done(run, checkpoint, content, max_epochs, max_steps)
    check_not_stopped(run, checkpoint, content, callbacks, min_epochs)


def check_average(content: Mapping[str, Any], callbacks: Sequence[Callback], path: Path) -> None:
    """A checkpoint whose weights are averages goes on with the callback that averages.

    Raises:
        CheckpointError: it is missing; the optimizer's state does not belong to the averages.
    """
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
    saved, ours = (
        _chosen("optimizer", side) for side in (saved_record(content, str(path)), record)
    )
    _refuse_change("optimizer", saved, ours, path)


def check_scheduler(content: Mapping[str, Any], record: Mapping[str, Any], path: Path) -> None:
    """The scheduler is the checkpoint's, with those arguments that its state brings along.

    A state of counters alone, as that of a schedule that is a function of the step, lets the
    config's arguments hold; and the schedulers here that count the steps of the whole training
    take their number from the config.

    Raises:
        InvalidValueError: it is another one, or a config's value would be ignored.
    """
    saved, ours = (
        _chosen("scheduler", side) for side in (saved_record(content, str(path)), record)
    )
    states = [state for state in content.get("lr_schedulers") or () if isinstance(state, Mapping)]
    if all(state.keys() <= COUNTERS for state in states):
        saved, ours = {"name": saved["name"]}, {"name": ours["name"]}
    if str(ours["name"]).startswith(f"{CORE}:"):
        ours.pop("total_steps", None)
    _refuse_change("scheduler", saved, ours, path)


def check_loss(content: Mapping[str, Any], record: Mapping[str, Any], path: Path) -> None:
    """The loss is the checkpoint's, of a run that goes on: its values are compared with those.

    Raises:
        InvalidValueError: another one's would be kept as better or worse than they are.
    """
    saved, ours = (_chosen("loss", side) for side in (saved_record(content, str(path)), record))
    _refuse_change("loss", saved, ours, path, f"start a new run from here: --ckpt_path {path}")


def check_seed(content: Mapping[str, Any], seed: int, path: Path) -> None:
    """The seed is the checkpoint's, of a run that goes on: it says in which order records come.

    Raises:
        InvalidValueError: by another one, some would come twice in an epoch, and others never.
    """
    saved = saved_seed(content, path)
    if saved not in (None, seed):
        raise InvalidValueError(
            f"seed_everything is {seed}, the checkpoint continues with {saved}",
            where=str(path),
            fix=f"seed_everything: {saved}, or start a new run from here: --ckpt_path {path}",
        )


def _chosen(slot: str, record: Mapping[str, Any]) -> dict[str, Any]:
    chosen = (record.get("resolved") or {}).get(slot) or {}
    chosen = chosen if isinstance(chosen, Mapping) else {"name": chosen}
    return {**chosen, "name": identity(chosen)} if chosen else {"name": None}


def _refuse_change(
    slot: str,
    saved: Mapping[str, Any],
    ours: Mapping[str, Any],
    path: Path,
    else_fix: str = "start a new training",
) -> None:
    for key in sorted(saved.keys() & ours.keys(), key=lambda key: (key != "name", key)):
        if saved[key] != ours[key]:
            raise InvalidValueError(
                f"the config sets {slot}.{key}: {ours[key]!r}, the checkpoint continues with"
                f" {saved[key]!r}",
                where=str(path),
                fix=f"leave {slot}.{key} as it was, or {else_fix}",
            )


def check_not_done(
    run: Run | None,
    checkpoint: Path,
    content: Mapping[str, Any],
    max_epochs: int | None,
    max_steps: int = -1,
) -> None:
    """A training goes on only when there are more epochs and steps to train.

    Args:
        run: That goes on; None for a new one from the checkpoint.
        checkpoint: Where it goes on.
        content: Of the checkpoint.
        max_epochs: Of the whole training; None or -1 for no end.
        max_steps: Of the whole training, optimizer steps; -1 for no end.
    Raises:
        RunError: there are none.
    """
    is_finished = run is not None and run.status["status"] == "finished"
    epochs, steps = _epochs(content), content.get("global_step", 0)
    for what, count, limit in (("epochs", epochs, max_epochs), ("steps", steps, max_steps)):
        # After its last step, a training that has not finished has still to be tested.
        is_left = run is not None and not is_finished and count == limit
        if limit is None or limit < 0 or count < limit or is_left:
            continue
        done = f"{run.path} has finished its" if is_finished else f"{checkpoint} is after"
        raise RunError(
            f"{done} {count} {what}, and trainer.max_{what} is {limit}",
            fix=f"raise trainer.max_{what} above {count} to train longer, or start a new run",
        )


def _epochs(content: Mapping[str, Any]) -> int:
    """Lightning's "epoch" is that of the last step, whether it is over or not."""
    progress = content.get("loops", {}).get("fit_loop", {}).get("epoch_progress", {})
    return progress.get("current", {}).get("processed", content.get("epoch", 0))


def check_not_stopped(
    run: Run | None,
    checkpoint: Path,
    content: Mapping[str, Any],
    callbacks: Sequence[Callback],
    min_epochs: int | None = None,
) -> None:
    """A training that was stopped goes on only to be tested, or with more patience or min_epochs.

    Args:
        run: That goes on; None for a new one from the checkpoint.
        checkpoint: Where it goes on.
        content: Of the checkpoint.
        callbacks: Of the training.
        min_epochs: Of the whole training, before which nothing stops it; None for none.
    Raises:
        RunError: it has been tested, or is another one's, and would be stopped at once.
    """
    epochs = _epochs(content)
    is_to_be_tested = run is not None and run.status["status"] != "finished"
    if is_to_be_tested or epochs < (min_epochs or 0):
        return
    for callback in callbacks:
        if not isinstance(callback, EarlyStopping):
            continue
        state = content.get("callbacks", {}).get(callback.state_key, {})
        if has_stopped(state, callback.patience):
            patience = state["patience"]
            is_final = has_stopped(state, patience + 1)  # by a threshold, or by what is not finite
            raise RunError(
                f"{checkpoint} is of a training that early_stopping has ended by"
                f" {callback.monitor}",
                fix="to train longer, take early_stopping out of the callbacks, or raise"
                f" trainer.min_epochs above {epochs}"
                + ("" if is_final else f" or its patience above {patience}"),
            )
