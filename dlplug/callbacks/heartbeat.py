"""End a training of several processes when one of them is lost."""

import atexit
import gc
import math
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException

from dlplug.errors import InvalidValueError
from dlplug.processes.launcher_observer import hold_back
from dlplug.processes.meeting_point import connect, host_of_first, listen
from dlplug.processes.star import Star, new_secret
from dlplug.processes.watch import Lost, Peer, Watch

# Seconds that the main thread has for leaving by itself: gloo raises at once, NCCL waits for ever.
GRACE = 5.0
# Seconds that it then has for ending.
ENDING = 30.0


class Heartbeat(Callback):
    """Notice within a bounded time that a process died or hangs, name it, and end the others.

    Without it the others wait in a collective for the one that is gone: under NCCL for ever, under
    gloo for as long as it hangs. Each process tells of itself from a thread: its last sign of life,
    and how far its main thread has come. One that dies is noticed at once.

    What has come about elsewhere ends here with a `ProcessLostError`; where the main thread does
    not come back from its collective, the process is ended with that error's exit code. A process
    that was stopped is killed. One process alone has no thread.

    Args:
        silence: Seconds without any sign of life after which a process counts as lost.
        stall: Seconds in which no process goes on, after which one that the others wait for counts
            as lost. What one process does alone while the others wait, such as writing a
            checkpoint, must take less.
    Raises:
        InvalidValueError: a bound is not above 0.
    """

    def __init__(self, silence: float = 120.0, stall: float = 600.0):
        for name, value in (("silence", silence), ("stall", stall)):
            if not value > 0:
                raise InvalidValueError(f"heartbeat: {name} = {value} is not above 0 seconds")
        self.silence = silence
        self.stall = stall
        self.lost: Lost | None = None
        self.own: Peer | None = None
        self.on_lost: Callable[[], object] = lambda: None
        self._star: Star | None = None
        self._count = 0
        self._place: tuple[str, int, int] = ("setup", 0, -1)
        self._is_known, self._is_leaving, self._is_closed = (threading.Event() for _ in range(3))

    def setup(self, trainer: lightning.Trainer, pl_module, stage: str) -> None:
        """Connect the processes, once: a training and the test after it are watched as one."""
        is_connected = torch.distributed.is_available() and torch.distributed.is_initialized()
        if trainer.world_size == 1 or not is_connected or self._star is not None:
            return
        self.own = Peer.here(trainer.global_rank, trainer.world_size)
        hold_back(GRACE + ENDING)
        is_first = trainer.global_rank == 0
        server = listen(trainer) if is_first else None
        address, first, secret = trainer.strategy.broadcast(
            (server and (host_of_first(trainer), server.getsockname()[1]), self.own, new_secret())
        )
        connection = None if is_first else connect(address)
        if not is_first and connection is None:
            return
        self._star = Star(
            self.own,
            Watch(self.silence, self.stall if is_first else math.inf, self.own),
            self._progress,
            self._lose,
            interval=min(1.0, self.silence / 10),
            secret=secret,
            server=server,
            first=None if is_first else (first, connection),
        )
        self._star.start()
        atexit.register(self.close)

    def close(self) -> None:
        """Leave the others in good order; the watch is over."""
        self._is_closed.set()
        if self._star is not None:
            self._star.close()

    def on_exception(self, trainer: lightning.Trainer, pl_module, exception) -> None:
        """Find out whether another process is the reason, or tell the others that this one is."""
        # After a signal all processes leave together, and save before that.
        if self._star is None or isinstance(exception, SIGTERMException):
            return
        # First: the thread that heard of another's error waits for it, and `fail` for that thread.
        self._is_leaving.set()
        if is_from_transport(exception) and self._is_known.wait(GRACE):
            # A launcher tells the survivors to end, too: they do so already, in good order.
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                trainer._signal_connector._original_handlers.pop(signal.SIGTERM, None)
        else:
            self._star.fail(f"{type(exception).__name__}: {exception}")

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        """Note the progress."""
        self._reach("training", trainer, batch_idx)

    def on_before_backward(self, trainer, pl_module, loss) -> None:
        """Note the progress: the others wait for a process in the backward pass."""
        self._count += 1

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        """Note the progress."""
        self._reach("training", trainer, batch_idx)

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, _=0) -> None:
        """Note the progress."""
        self._reach("validation", trainer, batch_idx)

    def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, _=0) -> None:
        """Note the progress."""
        self._reach("test", trainer, batch_idx)

    def on_predict_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, _=0) -> None:
        """Note the progress."""
        self._reach("prediction", trainer, batch_idx)

    def on_save_checkpoint(self, trainer, pl_module, checkpoint: dict[str, Any]) -> None:
        """Note the progress: the first process writes, the others wait for it."""
        self._count += 1

    def _reach(self, stage: str, trainer: lightning.Trainer, batch_idx: int) -> None:
        self._place = stage, trainer.current_epoch, batch_idx
        self._count += 1

    def _progress(self) -> tuple[int, str, bool]:
        stage, epoch, batch_idx = self._place
        place = f"{stage}, epoch {epoch + 1}, batch {batch_idx + 1}" if batch_idx >= 0 else stage
        return self._count, place, _waits(threading.main_thread())

    def _lose(self, lost: Lost) -> None:
        """In the thread: let the main thread leave by itself, or end the process."""
        self.lost = lost
        self._is_known.set()
        if lost.is_silent:
            lost.peer.kill()
        is_own = lost.peer == self.own  # its main thread is where it hangs
        if not is_own and self._is_leaving.wait(GRACE) and self._is_closed.wait(ENDING):
            return
        if not self._is_closed.is_set():
            self._exit(lost)

    def _exit(self, lost: Lost) -> None:
        error = lost.error(self.own)
        text = f"\n{type(error).__name__}: {error}\n"
        os.write(sys.__stderr__.fileno(), text.encode())
        try:
            self.on_lost()
        finally:
            for child in multiprocessing.active_children():
                child.kill()
            os._exit(error.exit_code)


def heartbeat_of(trainer: lightning.Trainer) -> Heartbeat:
    """The trainer's watch."""
    return next(c for c in trainer.callbacks if isinstance(c, Heartbeat))


def is_from_transport(error: BaseException) -> bool:
    """Whether a collective failed, rather than what this process did itself."""
    if isinstance(error, torch.distributed.DistError):
        return True
    text = str(error).lower()
    return type(error) is RuntimeError and any(word in text for word in ("gloo", "nccl"))


@contextmanager
def watched(trainer: lightning.Trainer) -> Iterator[None]:
    """Say which process was lost, where a collective failed; leave the others at the end.

    Raises:
        ProcessLostError: instead of the collective's own error.
    """
    heartbeat = heartbeat_of(trainer)
    try:
        yield
    except Exception as error:
        if heartbeat.lost and is_from_transport(error):
            raise heartbeat.lost.error(heartbeat.own) from error
        raise
    finally:
        heartbeat.close()


def _waits(thread: threading.Thread) -> bool:
    """Whether a thread is in a collective, or waits for the device that is in one.

    What it calls in C++ leaves no frame: the innermost one is the Python function that calls it.

    Python before 3.12 collects garbage while `sys._current_frames` holds the lock of all threads
    (python/cpython#106883): a finalizer that starts a thread, or lets another one do so, would stop
    the process for ever.
    """
    is_collecting = gc.isenabled()
    gc.disable()
    try:
        frame = sys._current_frames().get(thread.ident)
    finally:
        if is_collecting:
            gc.enable()
    module = frame.f_globals.get("__name__", "") if frame else ""
    return module.startswith(("torch.distributed.", "torch.cuda."))
