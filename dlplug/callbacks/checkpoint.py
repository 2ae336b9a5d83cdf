"""Keep the best and the last state of a training."""

import os
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException

from dlplug.callbacks.monitor import check_mode, missing_metric
from dlplug.errors import InvalidValueError
from dlplug.storage.checkpoint import BEST, LAST


class Checkpoint(ModelCheckpoint):
    """Write ``best.ckpt`` when the metric improves and ``last.ckpt`` after every epoch.

    Both are complete files, from which a training can continue. When the process is told to end
    (SIGTERM, see `Termination`), ``last.ckpt`` is written between two batches. Without a validation
    there is no best by a ``val_`` metric; ``best.ckpt`` is then the latest.

    Args:
        monitor: Name of the metric.
        mode: ``min`` when smaller is better, ``max`` when larger is.
        every_n_steps: Write ``last.ckpt`` every so many optimizer steps too; None for epochs only.
    Raises:
        InvalidValueError: a value out of range; while training, an unknown metric.
    """

    def __init__(
        self, monitor: str = "val_loss", mode: str = "min", every_n_steps: int | None = None
    ):
        check_mode("checkpoint", mode)
        if every_n_steps is not None and every_n_steps < 1:
            raise InvalidValueError(f"checkpoint: every_n_steps = {every_n_steps} is below 1")
        # Lightning's own save_last writes the last state only when it also is the best one.
        super().__init__(
            filename=Path(BEST).stem,
            monitor=monitor,
            mode=mode,
            save_last=False,
            enable_version_counter=False,
        )
        self.every_n_steps = every_n_steps
        self._step_of_last = 0
        self._is_in_place = False

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        """Write ``last.ckpt`` at every ``every_n_steps``-th step but an epoch's last."""
        is_due = self.every_n_steps and trainer.global_step % self.every_n_steps == 0
        if is_due and not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._write_last(trainer)

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        """Write ``best.ckpt`` if it is, then ``last.ckpt``, which knows of the best one."""
        super().on_train_epoch_end(trainer, pl_module)
        self._write_last(trainer, again=True)

    def on_exception(self, trainer, pl_module, exception: BaseException) -> None:
        """Write ``last.ckpt`` on SIGTERM; after other exceptions the state may be half a step."""
        if isinstance(exception, SIGTERMException):
            self._write_last(trainer)

    def on_load_checkpoint(self, trainer, pl_module, checkpoint: dict[str, Any]) -> None:
        """Find out whether this training continues in the checkpoint's own folder."""
        folder = Path(trainer.ckpt_path).resolve().parent
        self._is_in_place = self.dirpath is not None and folder == Path(self.dirpath).resolve()

    def state_dict(self) -> dict[str, Any]:
        """The best score so far; no path, so that a run folder can be moved."""
        score = self.best_model_score
        return {"best_model_score": None if score is None else float(score)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue to compare with the best score, if its file is in this very folder."""
        best = Path(self.dirpath or "", BEST)
        score = state_dict["best_model_score"]
        if not self._is_in_place or score is None or not best.exists():
            return
        self.best_model_path = self.kth_best_model_path = os.fspath(best)
        self.best_model_score = self.kth_value = torch.tensor(score)
        self.best_k_models = {self.best_model_path: self.best_model_score}

    def _save_topk_checkpoint(self, trainer, monitor_candidates) -> None:
        if self.monitor in monitor_candidates:
            super()._save_topk_checkpoint(trainer, monitor_candidates)
        elif not any(trainer.num_val_batches) and self.monitor.startswith("val_"):
            self._save_none_monitor_checkpoint(trainer, monitor_candidates)
        else:
            known = set(monitor_candidates) - {"epoch", "step"}
            raise missing_metric("checkpoint", self.monitor, known)

    def _write_last(self, trainer: lightning.Trainer, again: bool = False) -> None:
        is_new = again or self._step_of_last != trainer.global_step
        if trainer.fast_dev_run or trainer.sanity_checking or not trainer.global_step or not is_new:
            return
        self.last_model_path = os.path.join(self.dirpath, LAST)
        trainer.save_checkpoint(self.last_model_path)
        self._step_of_last = trainer.global_step
