"""A signal to a training, in a certain phase of a certain step."""

import os
import signal
from pathlib import Path

import lightning

FAULT, FIRED = "fault.txt", "fired.txt"


class SignalFault(lightning.Callback):
    """Send what `FAULT` says: the signal's name, the phase, after which step, how many times.

    The file is not part of the config, since a checkpoint holds the config. `FIRED` then holds the
    number of optimizer steps that were taken.
    """

    def on_train_start(self, trainer, pl_module) -> None:
        """Stand where the training waits for its data."""
        dataset = trainer.train_dataloader.dataset
        fetch = dataset.__getitems__
        dataset.__getitems__ = lambda indices: self._send(trainer, "data wait") or fetch(indices)

    def on_before_backward(self, trainer, pl_module, loss) -> None:
        self._send(trainer, "training")

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, _=0) -> None:
        self._send(trainer, "validation")

    def on_save_checkpoint(self, trainer, pl_module, checkpoint) -> None:
        self._send(trainer, "save")

    def on_test_batch_start(self, trainer, pl_module, batch, batch_idx, _=0) -> None:
        self._send(trainer, "test")

    def _send(self, trainer, phase: str) -> None:
        if trainer.sanity_checking or Path(FIRED).exists() or not Path(FAULT).exists():
            return
        name, where, step, times = Path(FAULT).read_text().split(", ")
        if where == phase and trainer.global_step >= int(step):
            Path(FIRED).write_text(str(trainer.global_step))
            for _ in range(int(times)):
                os.kill(os.getpid(), signal.Signals[name])
