"""Log the learning rate."""

import lightning
from lightning.pytorch.callbacks import Callback


class LRMonitor(Callback):
    """Log ``lr`` every ``trainer.log_every_n_steps`` batches.

    When the optimizer's parameter groups differ, each one is logged: ``lr_0``, ``lr_1``, ...
    """

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch, batch_idx
    ) -> None:
        """Log what the coming step will use."""
        rates = [
            group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups
        ]
        same = len(set(rates)) == 1
        values = {"lr": rates[0]} if same else {f"lr_{i}": rate for i, rate in enumerate(rates)}
        self.log_dict(values, on_step=True, on_epoch=False)
