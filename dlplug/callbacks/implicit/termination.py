"""End a training between two batches when the process is told to end (SIGTERM, Ctrl-C)."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import lightning
from lightning.fabric.plugins.environments import SLURMEnvironment
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.exceptions import SIGTERMException

from dlplug.processes.agreement import Agreement

SIGNALS = (signal.SIGTERM, signal.SIGINT)
NOTICE = "\n{}: saving after this step, then ending; once more ends at once\n"


class Termination(Callback):
    """Raise Lightning's SIGTERMException in all processes after the same batch.

    Lightning 2.6.6's own handler talks to the other processes from within the signal, in the
    middle of whatever they are doing: two processes wait for each other for ever. This one takes a
    note, and the processes agree at the end of each batch. A validation is finished first, since
    Lightning cannot go on from the middle of one. A second signal ends the process at once. In a
    test or a prediction, which have nothing to save, the first one does, with the exit code 143 or
    130. After that they have their old effect.

    On SLURM with requeueing, its signal before the time limit is one of them: Lightning would save
    from within that signal, too, and to a file from which ``--resume`` does not go on.

    Attributes:
        received: The signal that this process was told to end by, or None.
        is_late: Whether any process was told so when there was no batch left to end after, as in
            the last validation. The training is complete then; what follows it should not begin.
        is_requeued: Whether SLURM is to start the job again, once everything is saved.
    """

    def __init__(self):
        self.received: signal.Signals | None = None
        self._agreement = Agreement()
        self.is_late = self.is_requeued = self._is_told = self._is_agreed = False
        self._requeue_signal: signal.Signals | None = None
        self._old_handlers: dict[signal.Signals, Any] = {}

    def on_fit_start(self, trainer: lightning.Trainer, pl_module) -> None:
        """Begin anew."""
        self.received = None
        self.is_late = self.is_requeued = self._is_told = self._is_agreed = False
        self._requeue_signal = _requeue_signal(trainer)
        self._agreement = Agreement()

    def on_sanity_check_start(self, trainer: lightning.Trainer, pl_module) -> None:
        """Take the place of Lightning's handlers, which it has just set."""
        self._listen(self._note)

    def on_train_start(self, trainer: lightning.Trainer, pl_module) -> None:
        """Take the place of the handlers where there was no sanity check."""
        self._listen(self._note)
        # Lightning 2.6.6 asks the first process before each batch whether it was told to end, and
        # waits for the device with that. Here all are told at once.
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module, *args) -> None:
        """Agree; Lightning looks at its mark next, and ends everything in good order.

        Not while gradients accumulate: a checkpoint has none.
        """
        self._is_told |= self._agreement.any(trainer, self.received is not None)
        if self._is_told and not trainer.fit_loop._should_accumulate():
            trainer._signal_connector.received_sigterm = True

    def on_validation_start(self, trainer: lightning.Trainer, pl_module) -> None:
        """Take Lightning's mark away until the validation is over; one by itself may be ended."""
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._listen_to_leave(trainer)
        self._is_agreed = trainer.received_sigterm
        trainer._signal_connector.received_sigterm = False

    def on_validation_end(self, trainer: lightning.Trainer, pl_module) -> None:
        """Put the mark back; what came during the validation waits for the next batch."""
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._restore()
        trainer._signal_connector.received_sigterm = self._is_agreed

    def on_train_end(self, trainer: lightning.Trainer, pl_module) -> None:
        """Give the signals their old effect, and agree whether one has come too late."""
        self._restore()
        is_told = self.received is not None
        self.is_late = trainer.strategy.reduce_boolean_decision(is_told, all=False)
        if self.is_late:
            self._agree_on_requeueing(trainer)

    def on_test_start(self, trainer: lightning.Trainer, pl_module) -> None:
        """Let a signal end the test: Lightning's handler would do it with the code of success."""
        self._listen_to_leave(trainer)

    def on_test_end(self, trainer: lightning.Trainer, pl_module) -> None:
        """Give the signals their old effect."""
        self._restore()

    def on_predict_start(self, trainer: lightning.Trainer, pl_module) -> None:
        """Let a signal end the prediction, as the test."""
        self._listen_to_leave(trainer)

    def on_predict_end(self, trainer: lightning.Trainer, pl_module) -> None:
        """Give the signals their old effect."""
        self._restore()

    def on_exception(self, trainer: lightning.Trainer, pl_module, exception) -> None:
        """Give the signals their old effect."""
        self._restore()
        if self._is_told and isinstance(exception, SIGTERMException):
            self._agree_on_requeueing(trainer)

    def _agree_on_requeueing(self, trainer: lightning.Trainer) -> None:
        """Of all processes, since each gets the signal on its own; only on SLURM."""
        if self._requeue_signal is not None:
            is_asked = self.received == self._requeue_signal
            self.is_requeued = trainer.strategy.reduce_boolean_decision(is_asked, all=False)

    def _note(self, signum: int, frame: Any) -> None:
        if self.received is not None:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        self.received = signal.Signals(signum)
        # A handler may interrupt a print, so it writes by itself.
        os.write(sys.__stderr__.fileno(), NOTICE.format(self.received.name).encode())

    def _listen_to_leave(self, trainer: lightning.Trainer) -> None:
        """Leave now where Lightning's handler has noted a signal while the loaders were built.

        It looks at its note after a test's first batch, and ends with the code of success; in a
        validation or a prediction, never.
        """
        self._listen(_leave)
        if trainer.received_sigterm:
            _leave(signal.SIGTERM, None)

    def _listen(self, handler: Callable[[int, Any], None]) -> None:
        """Only the main thread may."""
        if not self._old_handlers and _is_main_thread():
            own = (self._requeue_signal,) if self._requeue_signal is not None else ()
            self._old_handlers = {s: signal.signal(s, handler) for s in (*SIGNALS, *own)}

    def _restore(self) -> None:
        for signum, handler in self._old_handlers.items():
            # Else somebody has changed it since.
            if signal.getsignal(signum) in (self._note, _leave):
                signal.signal(signum, handler)
        self._old_handlers = {}


@contextmanager
def left_on_sigterm() -> Iterator[None]:
    """Let SIGTERM raise SystemExit, with the code 143, where it would end the process at once.

    For what surrounds the batches after which `Termination` saves: something has to be written of
    the end there, too.
    """
    is_ours = _is_main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if is_ours:
        signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        if is_ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _leave(signum: int, frame: Any) -> None:
    raise SystemExit(128 + signum)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _requeue_signal(trainer: lightning.Trainer) -> signal.Signals | None:
    """With which SLURM announces the end of a job that is to be started again; else None."""
    environment = trainer._accelerator_connector.cluster_environment
    is_slurm = isinstance(environment, SLURMEnvironment) and environment.auto_requeue
    return environment.requeue_signal if is_slurm else None
