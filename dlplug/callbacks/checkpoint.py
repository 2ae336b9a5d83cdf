"""Keep the best and the last state of a training."""

import os
import sys
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.exceptions import SIGTERMException

from dlplug.callbacks.numbers.monitor import check_mode, missing_metric
from dlplug.errors import CheckpointError, InvalidValueError, StorageError
from dlplug.processes.agreement import Agreement
from dlplug.storage.checkpoint import BEST, LAST, read_outline
from dlplug.storage.save_interval import SaveInterval
from dlplug.storage.saver import Saver

ON_STORAGE_ERROR = ("stop", "continue")


class Checkpoint(ModelCheckpoint):
    """Write ``best.ckpt`` when the metric improves and ``last.ckpt`` every minute.

    Both are complete files, from which a training can continue. ``last.ckpt`` is written after
    every epoch, and within an epoch after the first step of the optimizer that ends a minute or
    more after the last save: that much work a crash can cost. Where the training has to wait for
    saving, the time between two saves grows, so that it waits for 1 % of the time at most. When the
    process is told to end (SIGTERM, see `Termination`), ``last.ckpt`` is written between two steps.
    Where a training ends within an epoch (``max_steps``, ``max_time``), it is from there that
    ``last.ckpt`` goes on; an end while gradients accumulate waits for their step.
    Before the first validation, as in a training of a few steps, there is no best by a ``val_``
    metric; ``best.ckpt`` is then the latest, if the training has not continued from a better one.

    A run writes its files in the background, and waits for them when the training ends. With the
    strategy ``fsdp2_sharded`` they are folders, and the training waits for each.

    Args:
        monitor: Name of the metric.
        mode: ``min`` when smaller is better, ``max`` when larger is.
        every_seconds: Least time between two saves of ``last.ckpt`` within an epoch, in seconds by
            the clock of the first process; None for none.
        every_n_steps: Write ``last.ckpt`` every so many optimizer steps too; None for epochs and
            times only.
        on_storage_error: When the disk is full or fails, ``stop`` ends the training with exit code
            74. ``continue`` says so on standard error and goes on; what could not be written is
            tried again at the next save. If the newest content of a file is still missing after the
            last step, the training ends with 74 as well.
    Raises:
        InvalidValueError: a value out of range; while training, an unknown metric.
        StorageError: while training, the disk is full or fails; at a batch's end or the next save.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        mode: str = "min",
        every_seconds: float | None = 60.0,
        every_n_steps: int | None = None,
        on_storage_error: str = "stop",
    ):
        check_mode("checkpoint", mode)
        if every_seconds is not None and not every_seconds > 0:
            raise InvalidValueError(f"checkpoint: every_seconds = {every_seconds} is not above 0")
        if every_n_steps is not None and every_n_steps < 1:
            raise InvalidValueError(f"checkpoint: every_n_steps = {every_n_steps} is below 1")
        if on_storage_error not in ON_STORAGE_ERROR:
            raise InvalidValueError(
                f"checkpoint: on_storage_error = {on_storage_error!r}",
                known=" or ".join(ON_STORAGE_ERROR),
            )
        # Lightning's own save_last writes the last state only when it also is the best one.
        super().__init__(
            filename=Path(BEST).stem,
            monitor=monitor,
            mode=mode,
            save_last=False,
            enable_version_counter=False,
        )
        self.every_n_steps = every_n_steps
        self.on_storage_error = on_storage_error
        self.interval = SaveInterval(every_seconds)
        self._agreement = Agreement()
        self._saver: Saver | None = None
        self._step_of_last = 0
        self._step = 0
        self._is_due = False
        self._is_due_after_validation = False
        self._has_validated = False
        self._is_to_stop = False
        self._is_in_place = False

    def setup(self, trainer: lightning.Trainer, pl_module, stage: str) -> None:
        """Find what writes the files: a run's saver, or Lightning itself."""
        super().setup(trainer, pl_module, stage)
        self._saver = getattr(trainer.strategy.checkpoint_io, "saver", None)
        if self._saver is not None:
            self._saver.goes_on = self.on_storage_error == "continue"

    def on_train_start(self, trainer: lightning.Trainer, pl_module) -> None:
        """Begin to count the time."""
        super().on_train_start(trainer, pl_module)
        self._agreement = Agreement()
        self._step = trainer.global_step
        self._is_due = self._is_due_after_validation = self._is_to_stop = False
        self.interval.begin()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        """Write ``last.ckpt`` when it is time, at every ``every_n_steps``-th step, or at the end.

        Only after a step of the optimizer: a checkpoint has no gradients. At an epoch's end it is
        written after the epoch, and where a validation comes next, after that: Lightning would
        leave it out when it goes on from here.
        """
        self._wait_for_step(trainer)
        has_stepped = trainer.global_step != self._step
        self._step = trainer.global_step
        # Once agreed there is nothing more to say.
        mark = trainer.is_global_zero and not self._is_due and self._is_wanted()
        if self._agreement.any(trainer, mark):
            self._check(trainer)
            self._is_due = True
        if not has_stepped:
            return
        self._is_due |= bool(self.every_n_steps) and self._step % self.every_n_steps == 0
        loop = trainer.fit_loop.epoch_loop
        self._is_due |= loop._is_training_done or _is_stopping(trainer)
        if not self._is_due or loop.batch_progress.is_last_batch:
            return
        if _validates_next(trainer):
            self._is_due_after_validation = True
        else:
            self._write_last(trainer)

    def on_validation_end(self, trainer, pl_module) -> None:
        """Write ``best.ckpt`` if it is, and what waited for the validation."""
        self._has_validated |= not trainer.sanity_checking
        super().on_validation_end(trainer, pl_module)
        is_within = not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING or not is_within:
            return
        self._wait_for_step(trainer)
        if self._is_due_after_validation or _is_stopping(trainer):
            self._write_last(trainer)

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        """Write ``best.ckpt`` if it is, then ``last.ckpt``, which knows of the best one.

        Of an epoch that was cut, ``last.ckpt`` is written already. Lightning counts it as whole
        now, and would go on with the next one.
        """
        super().on_train_epoch_end(trainer, pl_module)
        self._write_last(trainer, again=trainer.fit_loop.epoch_loop._num_ready_batches_reached())

    def on_train_end(self, trainer, pl_module) -> None:
        """Wait until everything is on the disk: what follows reads it, in all processes."""
        super().on_train_end(trainer, pl_module)
        self._check(trainer, is_end=True)

    def on_exception(self, trainer, pl_module, exception: BaseException) -> None:
        """Write ``last.ckpt`` on SIGTERM; after other exceptions the state may be half a step."""
        if isinstance(exception, SIGTERMException):
            self._write_last(trainer)
        if self._saver is None:
            return
        try:
            self._saver.finish()
        except StorageError as error:
            if isinstance(exception, SIGTERMException):
                raise
            print(error, file=sys.stderr)  # the exception tells what ended the training

    def on_load_checkpoint(self, trainer, pl_module, checkpoint: dict[str, Any]) -> None:
        """Find out whether this training continues in the checkpoint's own folder."""
        folder = Path(trainer.ckpt_path).resolve().parent
        self._is_in_place = self.dirpath is not None and folder == Path(self.dirpath).resolve()

    def state_dict(self) -> dict[str, Any]:
        """The best score so far; no path, so that a run folder can be moved."""
        score = self.best_model_score
        return {"best_model_score": None if score is None else float(score)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue to compare with the best score, if its file is in this very folder.

        The file knows its score. ``state_dict`` tells of one that a crash may have kept from the
        disk, or that came before the one there.
        """
        best = Path(self.dirpath or "", BEST)
        if not self._is_in_place or not best.exists():
            return
        try:
            states = read_outline(best).get("callbacks", {})
        except CheckpointError as error:
            print(f"{error.what}: the next one takes its place", file=sys.stderr)
            return
        score = states.get(self.state_key, {}).get("best_model_score")
        if score is None:
            return
        self.best_model_path = self.kth_best_model_path = os.fspath(best)
        self.best_model_score = self.kth_value = torch.tensor(score)
        self.best_k_models = {self.best_model_path: self.best_model_score}

    def _save_topk_checkpoint(self, trainer, monitor_candidates) -> None:
        if self.monitor in monitor_candidates:
            super()._save_topk_checkpoint(trainer, monitor_candidates)
        elif self.monitor.startswith("val_") and not self._has_validated:
            if self.best_model_score is None:  # else the training goes on after a best one
                self._save_none_monitor_checkpoint(trainer, monitor_candidates)
        else:
            known = set(monitor_candidates) - {"epoch", "step"}
            raise missing_metric("checkpoint", self.monitor, known)

    def _save_checkpoint(self, trainer: lightning.Trainer, filepath: str) -> None:
        self._check(trainer)
        super()._save_checkpoint(trainer, filepath)

    def _wait_for_step(self, trainer: lightning.Trainer) -> None:
        """Put off the training's end while gradients accumulate, which no checkpoint has."""
        self._is_to_stop |= trainer.should_stop
        trainer.should_stop = self._is_to_stop and not trainer.fit_loop._should_accumulate()

    def _write_last(self, trainer: lightning.Trainer, again: bool = False) -> None:
        self._is_due = self._is_due_after_validation = False
        is_new = again or self._step_of_last != trainer.global_step
        if trainer.fast_dev_run or trainer.sanity_checking or not trainer.global_step or not is_new:
            return
        self._check(trainer)
        self.last_model_path = os.path.join(self.dirpath, LAST)
        self.interval.measure(lambda: trainer.save_checkpoint(self.last_model_path))
        self._step_of_last = trainer.global_step

    def _is_wanted(self) -> bool:
        """Whether it is time to save, or an earlier save has failed and ends the training."""
        if self._saver is not None and self._saver.has_failed:
            if not self._saver.goes_on:
                return True
            self._saver.check()
        return self.interval.is_over()

    def _check(self, trainer: lightning.Trainer, is_end: bool = False) -> None:
        """Let an error of the disk end all processes: the first one alone writes."""
        error = None
        if self._saver is not None:
            try:
                self._saver.finish() if is_end else self._saver.check()
            except StorageError as raised:
                error = raised
        error = trainer.strategy.broadcast(error)
        if error is not None:
            raise error


def _is_stopping(trainer: lightning.Trainer) -> bool:
    """Whether a callback, such as Lightning's timer, ends the training after this batch."""
    return trainer.should_stop and trainer.fit_loop._can_stop_early


def _validates_next(trainer: lightning.Trainer) -> bool:
    """Whether a validation is due after this batch, whether or not the training ends here.

    The one with which Lightning ends a training that is stopped would not be there without that.
    """
    should_stop, trainer.should_stop = trainer.should_stop, False
    is_due = trainer.fit_loop.epoch_loop._should_check_val_fx(trainer.fit_loop._data_fetcher)
    trainer.should_stop = should_stop
    return is_due
