"""Stop when the training loss is no number any more."""

import math

import lightning
from lightning.pytorch.callbacks import Callback

from dlplug.errors import RunError


class FiniteLoss(Callback):
    """End the training with an error after an epoch whose ``train_loss`` is NaN or infinite.

    It runs before `Checkpoint`, so the last good checkpoint stays. Without it, one bad record ends
    in a finished run full of NaN.
    """

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Look at the epoch's loss, if the task logs one.

        Raises:
            RunError: it is not finite; names epoch and value.
        """
        loss = trainer.callback_metrics.get("train_loss")
        if loss is not None and not math.isfinite(loss):
            raise RunError(
                f"the training loss is {float(loss)} in epoch {trainer.current_epoch + 1}",
                fix="lower optimizer.lr, or set trainer.gradient_clip_val, or look for bad records;"
                " trainer.detect_anomaly names the operation",
            )
