"""After a spike of the training loss, go back to the checkpoint before it and skip its data."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy, SingleDeviceStrategy
from torch import Tensor

from dlplug.callbacks.numbers.late_reading import LateReading
from dlplug.callbacks.rollback.loss_history import LossHistory
from dlplug.callbacks.rollback.record import FILE, cut_rollbacks
from dlplug.callbacks.rollback.rewind import rewind
from dlplug.errors import CheckpointError, InvalidValueError, RunError
from dlplug.storage.checkpoint import LAST, PREVIOUS, read_checkpoint
from dlplug.storage.json_lines import append_rows
from dlplug.storage.saver import Saver


class SpikeRollback(Callback):
    """Undo the steps since the last checkpoint when the loss stays far above what it was.

    Weights, averages of them and the optimizer's state come back from ``last.ckpt``, or from
    ``previous.ckpt`` where the spike has reached the last one. The loader and the schedule go on:
    the data since that checkpoint is skipped, and the training ends after as many steps as it would
    have. Each rollback is a line on standard error and a row in ``rollbacks.jsonl`` of the run.
    The less often checkpoints are written (``checkpoint.every_n_steps``), the more steps are lost.
    Each is written: where the disk is slower, the training waits.

    A loss is judged one step later, so that no GPU is waited for, and all processes judge their
    mean. What is not finite is the business of `FiniteSteps`.

    Args:
        window: Good losses (of optimizer steps) with which a loss is compared; half of them must
            be there before anything is judged.
        threshold: Deviations above their median from which a loss is bad; see `LossHistory`.
        patience: Bad losses, of the last ``2 * patience``, that make a spike.
        limit: Rollbacks in a training; one more ends it.
    Raises:
        InvalidValueError: a value out of range; at the start, a strategy that shards the weights,
            or no checkpoints. While training, ``RunError`` after too many rollbacks.
    References: Chowdhery et al. 2022, arXiv:2204.02311, section 5.1.
    """

    def __init__(
        self, window: int = 100, threshold: float = 6.0, patience: int = 3, limit: int = 3
    ):
        if window < 2 or threshold <= 0 or patience < 1 or limit < 0:
            raise InvalidValueError(
                f"spike_rollback: window = {window}, threshold = {threshold},"
                f" patience = {patience}, limit = {limit};"
                " at least 2, above 0, at least 1, and at least 0"
            )
        self.limit = limit
        self.count = 0
        self._history = LossHistory(window, threshold, patience)
        self._losses: list[Tensor] = []  # of the batches of this optimizer step
        self._pending: LateReading | float | None = None
        self._step = 0

    def setup(self, trainer: lightning.Trainer, pl_module, stage: str) -> None:
        """The state can be put back in every process.

        Raises:
            InvalidValueError: it cannot.
        """
        if stage != "fit":
            return
        whole = (SingleDeviceStrategy, DDPStrategy)
        is_whole = isinstance(trainer.strategy, whole)
        # Of Lightning's, this one is a DDPStrategy as well.
        if not is_whole or isinstance(trainer.strategy, DeepSpeedStrategy):
            raise InvalidValueError(
                "spike_rollback: it cannot put back weights that are sharded"
                f" ({type(trainer.strategy).__name__})",
                fix="set trainer.strategy to ddp or auto, or leave spike_rollback out",
            )
        if trainer.checkpoint_callback is None and not trainer.fast_dev_run:
            raise InvalidValueError(
                "spike_rollback: there are no checkpoints to go back to",
                fix="set trainer.enable_checkpointing to true",
            )
        # How fast the disk is must not decide which checkpoint there is to go back to.
        if (saver := _saver(trainer)) is not None:
            saver.keeps_all = True

    def on_train_start(self, trainer: lightning.Trainer, pl_module) -> None:
        """Take rows out of the record that will be written again."""
        self._step, self._losses = trainer.global_step, []
        if trainer.is_global_zero and not trainer.fast_dev_run:
            cut_rollbacks(folder_of(trainer) / FILE, trainer.global_step)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        """Judge the loss of the step before, and go back if that makes a spike.

        Raises:
            RunError: there have been too many rollbacks.
        """
        if isinstance(outputs, dict) and outputs.get("loss") is not None:
            self._losses.append(outputs["loss"] * trainer.accumulate_grad_batches)
        if trainer.global_step == self._step:
            return  # a batch that only accumulates
        self._step = trainer.global_step
        losses, self._losses = self._losses, []
        earlier, self._pending = self._pending, self._sent(trainer, losses)
        if earlier is None:
            return
        loss = earlier.read() if isinstance(earlier, LateReading) else earlier
        self._history.add(loss)
        if self._history.is_spike:
            self._go_back(trainer, pl_module, loss, batch_idx)

    def state_dict(self) -> dict[str, Any]:
        """The losses so far, the one under way included."""
        pending = self._pending
        pending = pending.read() if isinstance(pending, LateReading) else pending
        return {"count": self.count, "pending": pending, **self._history.to_plain()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Judge as if the training had not been interrupted."""
        self.count, self._pending = state_dict["count"], state_dict["pending"]
        self._history.take(state_dict)

    def _sent(self, trainer: lightning.Trainer, losses: list[Tensor]) -> LateReading | None:
        if not losses:
            return None
        loss = torch.stack(losses).float().mean()
        if trainer.world_size > 1:
            torch.distributed.all_reduce(loss)
            loss = loss / trainer.world_size
        return LateReading(loss)

    def _go_back(self, trainer, pl_module, loss: float, batch_idx: int) -> None:
        step = trainer.global_step
        # The last loss that was judged is that of the step before this one.
        first_bad = step - self._history.length
        if self.count >= self.limit:
            raise RunError(
                f"the training loss is {loss:.4g}, far above what it was, and {self.count}"
                " rollbacks have not helped",
                where=f"epoch {trainer.current_epoch + 1}, batch {batch_idx + 1}",
                fix="lower optimizer.lr, set trainer.gradient_clip_val, look for bad records, or"
                " raise spike_rollback.limit",
            )
        content = self._state_before(trainer, first_bad)
        if content is None:
            self._history.are_bad.clear()
            say(trainer, f"step {step}: a spike, the loss is {loss:.4g}; no checkpoint is older")
            return
        self.count += 1
        rewind(trainer, pl_module, content)
        # The loss may have been higher then. A checkpoint from before this callback was added
        # tells nothing of it, and judging begins anew.
        empty = {"good": [], "are_bad": []}
        self._history.take(content["callbacks"].get(self.state_key, empty))
        self._pending = None
        origin = content["global_step"]
        done = content["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["processed"]
        row = {
            "step": step,
            "loss": loss,
            "first_bad_step": first_bad,
            "checkpoint_step": origin,
            "skipped_steps": step - origin,
            "skipped_from": {"epoch": content["epoch"], "batch": done},
            "skipped_to": {"epoch": trainer.current_epoch, "batch": batch_idx},
        }
        say(
            trainer,
            f"step {step}: a spike since step {first_bad}, the loss is {loss:.4g}; back to the"
            f" state after step {origin}, the data since then is skipped",
        )
        if trainer.is_global_zero:
            append_rows(folder_of(trainer) / FILE, [row])

    def _state_before(self, trainer: lightning.Trainer, step: int) -> dict[str, Any] | None:
        """The newest intact checkpoint from before optimizer step ``step``, in every process."""
        chosen = None
        if trainer.is_global_zero and trainer.checkpoint_callback is not None:
            if (saver := _saver(trainer)) is not None:
                saver.wait()
            for name in (LAST, PREVIOUS):
                path = Path(trainer.checkpoint_callback.dirpath, name)
                with suppress(CheckpointError):
                    if read_checkpoint(path)["global_step"] < step:
                        chosen = path
                        break
        # The first process alone knows when the file is whole; the others wait for its word.
        chosen = trainer.strategy.broadcast(chosen)
        return None if chosen is None else read_checkpoint(chosen)


def _saver(trainer: lightning.Trainer) -> Saver | None:
    """What writes the checkpoints in the background."""
    return getattr(trainer.strategy.checkpoint_io, "saver", None)


def folder_of(trainer: lightning.Trainer) -> Path:
    """The run's folder."""
    return Path(trainer.checkpoint_callback.dirpath).parent


def say(trainer: lightning.Trainer, text: str) -> None:
    """A line on standard error, from the first process."""
    if trainer.is_global_zero:
        print(text, file=sys.stderr)
