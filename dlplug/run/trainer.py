"""Lightning's Trainer for a run: the config's arguments, and what a run folder needs."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import lightning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.loops import _FitLoop
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from dlplug.callbacks.heartbeat import Heartbeat
from dlplug.errors import InvalidValueError
from dlplug.run.checkpoint_io import DurableCheckpointIO
from dlplug.run.restart import separate_restarts
from dlplug.run.strategies import strategy_of
from dlplug.storage.saver import Saver

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment

# Lightning prints the layers on standard output, which is for results.
DEFAULTS = {"enable_model_summary": False}


def build_trainer(
    experiment: "Experiment",
    *,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Logger] = (),
    root: str | os.PathLike = ".",
    forced: Mapping[str, Any] | None = None,
    saver: Saver | None = None,
    **arguments: Any,
) -> lightning.Trainer:
    """A Trainer whose checkpoints are durable, and whose processes are watched.

    Args:
        experiment: Its trainer arguments are checked already.
        callbacks: In their order.
        loggers: Where metrics go.
        root: Folder for whatever else Lightning writes.
        forced: Arguments of the Trainer, whatever the config says.
        saver: Writes the checkpoints in the background; None to wait for each of them.
        arguments: Of the Trainer, where the config is silent.
    Raises:
        InvalidValueError: Lightning refuses the combination.
    """
    given = experiment.trainer_arguments
    chosen = DEFAULTS | arguments | given | dict(forced or {})
    chosen["strategy"] = strategy_of(chosen.get("strategy", "auto"))
    separate_restarts()
    if not any(isinstance(callback, Heartbeat) for callback in callbacks):
        callbacks = [Heartbeat(), *callbacks]
    chosen["plugins"] = [*_as_list(given.get("plugins")), DurableCheckpointIO(saver)]
    try:
        trainer = lightning.Trainer(
            callbacks=list(callbacks), logger=list(loggers), default_root_dir=root, **chosen
        )
    except (MisconfigurationException, TypeError, ValueError, RuntimeError) as error:
        raise InvalidValueError(
            f"Lightning's Trainer refuses its arguments: {' '.join(str(error).split())}",
            where=f"{experiment.where('trainer')}, trainer",
            fix="list them: python -m dlplug fit --trainer.help",
        ) from error
    # With `max_steps` Lightning 2.6.6 takes an epoch that is over for one to be finished, counts it
    # twice, and goes on with the batches of another one.
    trainer.fit_loop._iteration_based_training = lambda: False
    trainer.fit_loop.run = partial(_run, trainer.fit_loop)
    return trainer


def _run(loop: _FitLoop) -> None:
    """Train, or end what a checkpoint has nothing left to train of.

    Lightning 2.6.6 returns at once there: what callbacks write in ``on_train_end`` would never be
    written after a kill behind the last checkpoint.
    """
    loop.setup_data()  # the second time, it does nothing
    if loop.trainer.ckpt_path is None or not loop.max_batches or not loop.done:
        type(loop).run(loop)
    else:
        loop.reset()
        loop.on_run_start()
        loop.on_run_end()


def _as_list(value: Any) -> list:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
