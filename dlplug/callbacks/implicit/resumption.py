"""Let callbacks of Lightning, and those derived from them, go on as a checkpoint left them."""

from typing import Any

from lightning.pytorch.callbacks import Callback, GradientAccumulationScheduler
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from dlplug.callbacks.early_stopping import has_stopped


class Resumption(Callback):
    """Stop again what `EarlyStopping` has stopped, and let a schedule of accumulation hold.

    Lightning 2.6.6 saves no mark that a training is to stop, and would train one more epoch. It
    takes the patience from the checkpoint, whatever the config says by now. And it asks a schedule
    of accumulation where an epoch starts: one that goes on is not started again.
    """

    def on_load_checkpoint(self, trainer, pl_module, checkpoint: dict[str, Any]) -> None:
        """Before the states of the callbacks are loaded, which then have the config's patience."""
        for callback in trainer.early_stopping_callbacks:
            state = checkpoint.get("callbacks", {}).get(callback.state_key, {})
            if "patience" in state:
                trainer.should_stop |= has_stopped(state, callback.patience)
                state["patience"] = callback.patience

    def on_train_start(self, trainer, pl_module) -> None:
        """Accumulate as the epoch says, and take back what stopped a training that goes on."""
        if not trainer.should_stop:
            for callback in trainer.early_stopping_callbacks:
                callback.stopping_reason = EarlyStoppingReason.NOT_STOPPED
        for callback in trainer.callbacks:
            if isinstance(callback, GradientAccumulationScheduler):
                batches = callback.get_accumulate_grad_batches(trainer.current_epoch)
                trainer.accumulate_grad_batches = batches
