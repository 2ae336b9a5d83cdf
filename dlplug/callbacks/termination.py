"""End a training between two batches when the process is told to end (SIGTERM, Ctrl-C)."""

import os
import signal
import sys
import threading
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

SIGNALS = (signal.SIGTERM, signal.SIGINT)
NOTICE = "\n{}: saving after this step, then ending; once more ends at once\n"


class Termination(Callback):
    """Raise Lightning's SIGTERMException in all processes after the same batch.

    Lightning 2.6.6's own handler talks to the other processes from within the signal, in the
    middle of whatever they are doing: two processes wait for each other for ever. This one takes a
    note, and the processes agree at the end of each batch. A validation is finished first, since
    Lightning cannot go on from the middle of one. A second signal ends the process at once. After
    the training the signals have their old effect.

    Attributes:
        received: The signal that this process was told to end by, or None.
    """

    def __init__(self):
        self.received: signal.Signals | None = None
        self._is_agreed = False
        self._old_handlers: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: lightning.Trainer, pl_module) -> None:
        """Take the place of the handlers; only the main thread may."""
        self.received, self._is_agreed = None, False
        if threading.current_thread() is threading.main_thread():
            self._old_handlers = {s: signal.signal(s, self._note) for s in SIGNALS}

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module, *args) -> None:
        """Agree; Lightning looks at its mark next, and ends everything in good order."""
        if trainer.strategy.reduce_boolean_decision(self.received is not None, all=False):
            trainer._signal_connector.received_sigterm = True

    def on_validation_start(self, trainer: lightning.Trainer, pl_module) -> None:
        """Take Lightning's mark away until the validation is over."""
        self._is_agreed = trainer.received_sigterm
        trainer._signal_connector.received_sigterm = False

    def on_validation_end(self, trainer: lightning.Trainer, pl_module) -> None:
        """Put the mark back; what came during the validation waits for the next batch."""
        trainer._signal_connector.received_sigterm = self._is_agreed

    def on_train_end(self, trainer: lightning.Trainer, pl_module) -> None:
        """Give the signals their old effect."""
        self._restore()

    def on_exception(self, trainer: lightning.Trainer, pl_module, exception) -> None:
        """Give the signals their old effect."""
        self._restore()

    def _note(self, signum: int, frame: Any) -> None:
        if self.received is not None:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        self.received = signal.Signals(signum)
        # A handler may interrupt a print, so it writes by itself.
        os.write(sys.__stderr__.fileno(), NOTICE.format(self.received.name).encode())

    def _restore(self) -> None:
        for signum, handler in self._old_handlers.items():
            signal.signal(signum, handler)
        self._old_handlers = {}
