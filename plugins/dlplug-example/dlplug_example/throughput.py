"""Measure how many samples per second the training takes."""

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback


class Throughput(Callback):
    """Log ``samples_per_second`` of each training epoch, over all processes.

    Waiting for data counts; validation does not, nor do the first batches of the run, which pay for
    memory allocation and kernel selection.

    Args:
        warmup: Batches at the start of the run that are not counted, >= 1.
    Raises:
        ValueError: ``warmup`` is below 1.
    """

    def __init__(self, warmup: int = 3):
        if warmup < 1:
            raise ValueError(f"warmup = {warmup}: must be at least 1")
        self.warmup = warmup
        self._batches = 0
        self._mark = 0.0
        self._samples, self._seconds = 0, 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start counting anew."""
        self._samples, self._seconds = 0, 0.0
        self._mark = perf_counter()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count a batch, from the end of the one before."""
        self._batches += 1
        # Kernels run behind the program; waiting for them at both ends of the interval suffices.
        if self._batches == self.warmup or trainer.is_last_batch:
            synchronize(pl_module.device)
        now = perf_counter()
        if self._batches > self.warmup:
            self._samples += num_samples(batch)
            self._seconds += now - self._mark
        self._mark = now

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave out what validation took."""
        self._mark = perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the rate; nothing when the whole epoch was warm-up."""
        if self._samples:
            rate = self._samples * trainer.world_size / self._seconds
            pl_module.log("samples_per_second", rate, batch_size=1)


def num_samples(batch: Any) -> int:
    """Length of the first axis of the first tensor in a batch of any form.

    Raises:
        ValueError: there is no tensor with an axis.
    """
    waiting = [batch]
    while waiting:
        part = waiting.pop(0)
        if isinstance(part, torch.Tensor) and part.ndim:
            return len(part)
        if isinstance(part, Mapping):
            waiting[:0] = part.values()
        elif isinstance(part, Sequence) and not isinstance(part, str):
            waiting[:0] = part
    raise ValueError(f"no tensor with an axis in a batch of type {type(batch).__name__}")


def synchronize(device: torch.device) -> None:
    """Wait until ``device`` has done what it was told."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
