"""Skip the steps that would put NaN or infinity into the weights."""

import math
import sys
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from dlplug.callbacks.numbers.late_reading import LateReading
from dlplug.callbacks.numbers.non_finite import first_of_all, origin, own_values
from dlplug.callbacks.numbers.step_losses import StepLosses
from dlplug.errors import InvalidValueError, RunError
from dlplug.ops import total_norm


class FiniteSteps(Callback):
    """No step of the optimizer with a loss or gradient that is not finite; too many end the run.

    The step is left out before the optimizer runs, statistics such as BatchNorm's are put back, and
    a line on standard error names process, batch and layer. Weights and optimizer stay as after the
    last good step. On a GPU, with an optimizer that can leave a step out on the device
    (``found_inf``, as FusedAdamW's), the host reads the mark when the next step is under way: it
    waits for nothing.

    Under float16 scaling, leaving steps out is the scaler's part; only the epoch's loss is checked.

    Args:
        limit: Steps in a row that may be left out; one more ends the training.
    Raises:
        InvalidValueError: ``limit`` is below 0.
    """

    def __init__(self, limit: int = 10):
        if limit < 0:
            raise InvalidValueError(f"finite_steps: limit = {limit} is below 0")
        self.limit = limit
        self.skipped = 0
        self._in_a_row = 0
        self._losses: StepLosses | None = None
        self._owners: list[nn.Module] = []
        self._buffers: list[tuple[nn.Module, str, Tensor]] = []
        self._pending: tuple[LateReading, StepLosses] | None = None

    def on_fit_start(self, trainer, pl_module) -> None:
        """Forget what a fit that was interrupted within a step has left."""
        self._losses = None

    def on_train_start(self, trainer, pl_module) -> None:
        """Find the modules with buffers: to look through all of them takes 0.1 ms."""
        self._owners = [module for module in pl_module.modules() if module._buffers]

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        """Remember what a bad step must not change."""
        if self._losses is not None and self._losses.is_bad is not None:  # of an accumulation
            self._losses.begin(batch, batch_idx)
        else:
            self._losses = StepLosses(batch, batch_idx)
            self._buffers = [
                (module, name, buffer.clone())
                for module in self._owners
                for name, buffer in module._buffers.items()
                if buffer is not None
            ]

    def on_before_backward(self, trainer, pl_module, loss: Tensor) -> None:
        """Note a loss that is not finite."""
        self._losses.add(loss)

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        """Leave the step out when something is not finite.

        Raises:
            RunError: too many in a row.
        """
        has_scaler = getattr(trainer.precision_plugin, "scaler", None) is not None
        losses = self._losses
        flag = None if has_scaler else self._flag(trainer, optimizer, losses)
        self._losses = StepLosses(losses.batch, losses.index)
        if flag is None:
            return
        if flag.device.type == "cuda" and getattr(optimizer, "_step_supports_amp_scaling", False):
            self._skip_on_device(trainer, pl_module, optimizer, flag, losses)
        elif bool(flag):
            blamed = self._blamed(trainer, pl_module, losses)
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    parameter.grad = None
            self._restore(None)
            self._count(trainer, *blamed)
        else:
            self._in_a_row = 0

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Look at the epoch's loss, if the task logs one; `Checkpoint` comes after this.

        Raises:
            RunError: it is not finite; names epoch and value.
        """
        self._read_pending(trainer, pl_module)
        self.on_train_start(trainer, pl_module)  # the first batches may have brought more
        if self.skipped:
            # All processes leave out the same steps; Lightning warns where it is not told so.
            pl_module.log("skipped_steps", float(self.skipped), sync_dist=True)
        loss = trainer.callback_metrics.get("train_loss")
        if loss is not None and not math.isfinite(loss):
            raise RunError(
                f"the training loss is {float(loss)} in epoch {trainer.current_epoch + 1}",
                fix=FIX,
            )

    def state_dict(self) -> dict[str, Any]:
        """How many steps were left out, and in a row, the one under way included."""
        skipped, in_a_row = self.skipped, self._in_a_row
        if self._pending is not None:
            is_bad = bool(self._pending[0].read())
            skipped, in_a_row = skipped + is_bad, in_a_row + 1 if is_bad else 0
        return {"skipped": skipped, "in_a_row": in_a_row}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue to count."""
        self.skipped = state_dict["skipped"]
        self._in_a_row = state_dict.get("in_a_row", 0)  # 0.1.0 did not keep it

    def _flag(self, trainer: lightning.Trainer, optimizer, losses: StepLosses) -> Tensor | None:
        """One bool on the device, the same in every process; None without gradients."""
        parameters = (p for group in optimizer.param_groups for p in group["params"])
        gradients = [p.grad for p in parameters if p.grad is not None]
        if not gradients:
            return None
        # Not finite if anything is, on a GPU also above 1e19; the maximum takes six times as long.
        flag = ~torch.isfinite(total_norm([own_values(gradient) for gradient in gradients]))
        if losses.is_bad is not None:
            flag = flag | losses.is_bad
        if trainer.world_size == 1:
            return flag
        # Reduced gradients are the same everywhere; losses and shards are each process's own.
        flag = flag.float()
        torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
        return flag.bool()

    def _skip_on_device(
        self, trainer, pl_module, optimizer, flag: Tensor, losses: StepLosses
    ) -> None:
        self._read_pending(trainer, pl_module)
        optimizer.grad_scale, optimizer.found_inf = None, flag.float()
        self._restore(flag)
        self._pending = LateReading(flag), losses

    def _read_pending(self, trainer, pl_module) -> None:
        if self._pending is None:
            return
        (flag, losses), self._pending = self._pending, None
        if flag.read():
            self._count(trainer, *self._blamed(trainer, pl_module, losses))
        else:
            self._in_a_row = 0

    def _blamed(self, trainer, pl_module, losses: StepLosses) -> tuple[str, str]:
        batch, which = losses.blamed()
        place = f"epoch {trainer.current_epoch + 1}, {which}"
        return first_of_all(origin(pl_module, batch), place)

    def _restore(self, flag: Tensor | None) -> None:
        """Put the buffers back, where ``flag`` says so on the device; None says so."""
        for module, name, old in self._buffers:
            buffer = module._buffers.get(name)
            # One that has changed its shape is no statistic but a cache of something longer.
            if buffer is not None and buffer.shape == old.shape:
                buffer.copy_(old if flag is None else torch.where(flag, old, buffer))

    def _count(self, trainer: lightning.Trainer, place: str, found: str) -> None:
        self.skipped += 1
        self._in_a_row += 1
        if self._in_a_row > self.limit:
            raise RunError(
                f"{self._in_a_row} steps in a row were not finite; the last: {found}",
                where=place,
                fix=FIX,
            )
        if trainer.is_global_zero:
            print(f"{place}: the step was left out: {found}", file=sys.stderr)


FIX = (
    "lower optimizer.lr, or set trainer.gradient_clip_val, or look for bad records;"
    " trainer.detect_anomaly names the operation"
)
