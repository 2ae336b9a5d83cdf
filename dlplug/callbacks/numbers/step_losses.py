"""The losses that one step of the optimizer sums up, and the batch whose loss is not finite."""

from typing import Any

import torch
from torch import Tensor

from dlplug.callbacks.numbers.late_reading import LateReading


class StepLosses:
    """Those of the batches of an accumulation; of each batch of its own without one.

    Only the batch under way is held, and the first bad one: many would fill a GPU. The host learns
    of a batch's loss when the next batch begins, and waits for nothing else.

    Args:
        batch, index: What `begin` takes, of the first.
    Attributes:
        is_bad: One bool on the device: whether a loss so far is not finite; None without any.
        batch, index: The one under way, and its number in the epoch from 0 on.
    """

    def __init__(self, batch: Any, index: int):
        self.batch, self.index, self._first = batch, index, index
        self.is_bad: Tensor | None = None
        self._reading: LateReading | None = None
        self._suspect: tuple[Any, int] | None = None

    def begin(self, batch: Any, index: int) -> None:
        """Another batch of the same step."""
        self._settle()
        self.batch, self.index = batch, index

    def add(self, loss: Tensor) -> None:
        """A loss of the batch under way, one element."""
        is_bad = ~torch.isfinite(loss.detach())
        self.is_bad = is_bad if self.is_bad is None else self.is_bad | is_bad
        self._reading = LateReading(self.is_bad)

    def blamed(self) -> tuple[Any, str]:
        """The first batch with a bad loss, else the last of all, and in words where it is."""
        self._settle()
        batch, index = self._suspect or (self.batch, self.index)
        if self._suspect is not None or index == self._first:
            return batch, f"batch {index + 1}"
        return batch, f"batches {self._first + 1} to {index + 1}"

    def _settle(self) -> None:
        if self._suspect is None and self._reading is not None and self._reading.read():
            self._suspect = self.batch, self.index
