"""Files written by a thread, one after the other, while the caller goes on."""

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dlplug.errors import StorageError
from dlplug.storage.checkpoint import LAST


@dataclass(frozen=True)
class Save:
    """One file to be written.

    Args:
        path: Of the file.
        write: Writes it.
    """

    path: Path
    write: Callable[[], object]


class Saver:
    """Write files in the order in which they are given; at most one waits while one is written.

    A ``last.ckpt`` that still waits gives way to a newer one. Nothing else does: whoever brings a
    file while another one waits, waits as well. The thread lives as long as there is work, and the
    interpreter does not end before it does.

    Args:
        goes_on: What a disk that is full or fails does. True: it is said on standard error; what
            was not written is kept, and tried again before the next file, until a newer content of
            the same file takes its place. False: it is raised, and what waits is dropped, so that
            no file tells of another one that is not there.
    Attributes:
        keeps_all: Whether a ``last.ckpt`` that waits does not give way either.
    """

    def __init__(self, goes_on: bool = False):
        self.goes_on = goes_on
        self.keeps_all = False
        self._changed = threading.Condition()
        self._is_running = False
        self._waiting: Save | None = None
        self._failed: dict[Path, Save] = {}
        self._errors: list[BaseException] = []
        self._num_failures = 0

    @property
    def has_failed(self) -> bool:
        """Whether `check` has something to say or to raise."""
        return bool(self._errors)

    def submit(self, path: Path, prepare: Callable[[], Callable[[], object]]) -> None:
        """Have a file written.

        Args:
            path: Of the file.
            prepare: Called at once, when there is room; returns what the thread is to call.
        Raises:
            StorageError: an earlier file could not be written, and the saver does not go on.
        """
        self.check()
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is None or self._gives_way(path))
        save = Save(path, prepare())
        with self._changed:
            if self.goes_on or not self._errors:  # else it has failed in the meantime
                self._waiting = save
                self._start()
        self.check()

    def check(self) -> None:
        """Say or raise what has gone wrong since the last look.

        Raises:
            StorageError: a file could not be written, and the saver does not go on.
        """
        with self._changed:
            errors, self._errors = self._errors, []
        for error in errors:
            if not self._survives(error):
                raise error
            print(f"{error}\nthe training goes on; the save is tried again", file=sys.stderr)

    def wait(self) -> None:
        """Return when nothing is being written any more."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_running)

    def finish(self) -> None:
        """Write everything, trying once more what failed, and say how often that was.

        Raises:
            StorageError: the newest content of a file is not on the disk.
        """
        self.wait()
        if self._failed:
            with self._changed:
                self._start()
            self.wait()
        missing, failures = list(self._failed), self._num_failures
        self._failed, self._num_failures = {}, 0
        if missing:
            error, self._errors = self._errors[-1], []
            raise StorageError(
                f"{error.what}; so it was {failures} times in this training",
                where=error.where,
                known=error.known,
                fix=error.fix,
            ) from error
        self.check()
        if failures:
            what = f"a checkpoint could not be written {failures} times in this training"
            print(f"{what}; the newest ones are on the disk", file=sys.stderr)

    def _gives_way(self, path: Path) -> bool:
        return not self.keeps_all and path.name == LAST and self._waiting.path == path

    def _survives(self, error: BaseException) -> bool:
        return self.goes_on and isinstance(error, StorageError)

    def _start(self) -> None:
        if not self._is_running:
            self._is_running = True
            threading.Thread(target=self._run, name="checkpoints").start()

    def _run(self) -> None:
        while True:
            with self._changed:
                save, self._waiting = self._waiting, None
                self._changed.notify_all()
            self._write_all(save)
            del save  # and its copy of the state
            with self._changed:
                if self._waiting is None:
                    self._is_running = False
                    self._changed.notify_all()
                    return

    def _write_all(self, save: Save | None) -> None:
        """Write what failed before, unless there is a newer content, then ``save``."""
        for failed in list(self._failed.values()):
            if save is None or failed.path != save.path:
                self._write(failed)
        if save is not None:
            self._write(save)

    def _write(self, save: Save) -> None:
        try:
            save.write()
        except BaseException as error:
            with self._changed:
                self._errors.append(error)
                if self._survives(error):
                    self._failed[save.path] = save
                    self._num_failures += 1
                else:
                    self._waiting = None
                    self._changed.notify_all()
        else:
            self._failed.pop(save.path, None)
