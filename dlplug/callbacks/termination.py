"""End a training between two batches when the process is told to end (SIGTERM)."""

import signal
import threading
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback


class Termination(Callback):
    """Raise Lightning's SIGTERMException in all processes after the same batch.

    Lightning 2.6.6's own handler talks to the other processes from within the signal, in the
    middle of whatever they are doing: two processes wait for each other for ever. This one takes a
    note, and the processes agree at the end of each batch. A validation is finished first, since
    Lightning cannot go on from the middle of one. After the training the signal has its old effect.
    """

    def __init__(self):
        self._is_noted = False
        self._is_agreed = False
        self._old_handler: Any = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module) -> None:
        """Take the place of Lightning's handler; only the main thread may."""
        self._is_noted = self._is_agreed = False
        if threading.current_thread() is threading.main_thread():
            self._old_handler = signal.signal(signal.SIGTERM, self._note)

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module, *args) -> None:
        """Agree; Lightning looks at its mark next, and ends everything in good order."""
        if trainer.strategy.reduce_boolean_decision(self._is_noted, all=False):
            trainer._signal_connector.received_sigterm = True

    def on_validation_start(self, trainer: lightning.Trainer, pl_module) -> None:
        """Take Lightning's mark away until the validation is over."""
        self._is_agreed = trainer.received_sigterm
        trainer._signal_connector.received_sigterm = False

    def on_validation_end(self, trainer: lightning.Trainer, pl_module) -> None:
        """Put the mark back; what came during the validation waits for the next batch."""
        trainer._signal_connector.received_sigterm = self._is_agreed

    def on_train_end(self, trainer: lightning.Trainer, pl_module) -> None:
        """Give the signal its old effect."""
        self._restore()

    def on_exception(self, trainer: lightning.Trainer, pl_module, exception) -> None:
        """Give the signal its old effect."""
        self._restore()

    def _note(self, signum: int, frame: Any) -> None:
        self._is_noted = True

    def _restore(self) -> None:
        if self._old_handler is not None:
            signal.signal(signal.SIGTERM, self._old_handler)
            self._old_handler = None
