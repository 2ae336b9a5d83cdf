"""Predictions as they come, of one process or of several, in the order of the records."""

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

import lightning
import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from dlplug.errors import DlplugError

# Of a batch or of many: a tensor ``(N, ...)``, or one object for each record.
Predictions = Tensor | list


class PredictionStream(Callback):
    """Hands each batch of predictions on, in the first process, and keeps none.

    Process r of w predicts the records r, r + w, r + 2w, ...: after each batch the first process
    gets those of all, and keeps what it cannot put in order yet. A process that has fewer batches
    goes on saying so until all have ended.

    What either of the callables raises in the first process is sent with its next exchange and
    raised in all: the others would wait for one that has left, or end as if all were well.

    Args:
        receive: Gets the predictions of the next records: a tensor, or a list with one for each.
        end: Called when all have been received.

    Attributes:
        has_ended: Whether there was anything to predict, and all of it has been received.
    """

    def __init__(
        self, receive: Callable[[Predictions], object], end: Callable[[], object] = lambda: None
    ):
        self.receive = receive
        self.end = end
        self.has_ended = False
        self._waiting: list[list] = []
        self._is_tensor = True
        self._error: Exception | None = None

    def on_predict_start(self, trainer: lightning.Trainer, pl_module) -> None:
        """No prediction waits yet."""
        self._waiting = [[] for _ in range(trainer.world_size)]

    def on_predict_batch_end(
        self, trainer, pl_module, outputs: Any, batch, batch_idx, dataloader_idx=0
    ) -> None:
        """Hand on what this batch allows."""
        predictions = move_data_to_device(outputs, torch.device("cpu"))
        if trainer.world_size == 1:
            self.receive(predictions)
        else:
            self._exchange(trainer, predictions)

    def on_predict_epoch_end(self, trainer: lightning.Trainer, pl_module) -> None:
        """Hand on the rest, when no process has any more."""
        if trainer.world_size == 1:
            self.end()
        else:
            while self._exchange(trainer, None):
                pass
            none = object()
            rounds = zip_longest(*self._waiting, fillvalue=none)
            self._hand_on([row for rows in rounds for row in rows if row is not none])
            if trainer.is_global_zero:
                self._note(self.end)
            self._exchange(trainer, None)  # what these have raised
        self.has_ended = True

    def _exchange(self, trainer: lightning.Trainer, mine: Predictions | None) -> bool:
        """All processes' next batches, None of those that have ended; whether any has one."""
        parts: list[Predictions | None] = [mine] * trainer.world_size
        sent = mine if self._error is None else _sent(self._error)
        torch.distributed.all_gather_object(parts, sent)
        if isinstance(parts[0], Exception):
            raise self._error or parts[0]
        found = [part for part in parts if part is not None]
        if trainer.is_global_zero and found:
            self._is_tensor = all(isinstance(part, Tensor) for part in found)
            for waiting, part in zip(self._waiting, parts, strict=True):
                waiting.extend(() if part is None else part)
            self._hand_on([row for rows in zip(*self._waiting, strict=False) for row in rows])
            whole = min(map(len, self._waiting))
            self._waiting = [rows[whole:] for rows in self._waiting]
        return bool(found)

    def _hand_on(self, rows: list) -> None:
        if rows:
            self._note(
                lambda: self.receive(
                    joined([row[None] for row in rows]) if self._is_tensor else rows
                )
            )

    def _note(self, call: Callable[[], object]) -> None:
        """Keep what it raises for the next exchange; nothing is called after that."""
        try:
            if self._error is None:
                call()
        except Exception as error:
            self._error = error


def _sent(error: Exception) -> Exception:
    """As it can be sent: others than ours may hold anything."""
    return error if isinstance(error, DlplugError) else RuntimeError(repr(error))


def joined(batches: Sequence[Predictions]) -> Predictions:
    """The predictions of several batches: one tensor where they fit together, else a list."""
    if len(batches) == 1:
        return batches[0]
    shapes = {batch.shape[1:] if isinstance(batch, Tensor) else None for batch in batches}
    if len(shapes) == 1 and None not in shapes:
        return torch.cat(list(batches))
    return [row for batch in batches for row in batch]
