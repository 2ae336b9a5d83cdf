"""One call that reaches the disk fails: a StorageError, and a checkpoint to go on from.

Each open, write, synchronisation, link and rename of a save in turn; the save is waited for, or
made in the background, where it stops the training or is tried again.
"""

import contextlib
import errno
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

from dlplug.errors import StorageError
from dlplug.storage import files
from dlplug.storage.saver import Saver
from tests.chaos.outcome import Outcome
from tests.chaos.saves import litter, resumable, save

SAVERS = {
    "waited for": lambda: None,
    "stop": Saver,
    "continue": lambda: Saver(goes_on=True),
}


class FailingOs:
    """The module ``os``, of which one of the calls that reach the disk fails.

    Args:
        number: Of the call, counted from 1; 0 for none.
    """

    COUNTED = ("open", "fsync", "link", "replace")

    def __init__(self, number: int):
        self.number = number
        self.calls = 0

    def __getattr__(self, name: str):
        call = getattr(os, name)
        return self.counted(call) if name in self.COUNTED else call

    def fdopen(self, handle: int, mode: str) -> "CountedFile":
        """A file each write of which counts, and closing it."""
        return CountedFile(io.FileIO(handle, mode), self.counted)

    def counted(self, call: Callable) -> Callable:
        """The same call, unless its turn to fail has come."""

        def counted(*arguments, **keywords):
            self.calls += 1
            if self.calls == self.number:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return call(*arguments, **keywords)

        return counted

    @property
    def has_fired(self) -> bool:
        """Whether a call has failed."""
        return 0 < self.number <= self.calls


class CountedFile:
    """An open file with another ``write`` and ``close``."""

    def __init__(self, file: io.FileIO, counted: Callable[[Callable], Callable]):
        self.write, self.close = counted(file.write), counted(file.close)
        self.flush, self.fileno = file.flush, file.fileno


@contextlib.contextmanager
def failing(number: int) -> Iterator[FailingOs]:
    """Let the ``number``-th call of dlplug's files fail."""
    disk = FailingOs(number)
    with mock.patch.object(files, "os", disk):
        yield disk


def calls_of_a_save(folder: Path) -> int:
    """How often the second save of ``last.ckpt`` reaches the disk."""
    folder.mkdir()
    save(folder, 1)
    with failing(0) as disk:
        save(folder, 2)
    return disk.calls


def inject(count: int, folder: Path) -> Outcome:
    """Let ``count`` calls fail, each in a folder of its own, first the first call in every way."""
    calls = calls_of_a_save(folder / "counted")
    injected = contained = 0
    for index in range(count):
        number, way = index // len(SAVERS) % calls + 1, list(SAVERS)[index % len(SAVERS)]
        has_fired, is_contained = _try(number, way, folder / str(index))
        injected += has_fired
        contained += has_fired and is_contained
    return Outcome(injected, contained, {"calls of a save": calls})


def _try(number: int, way: str, folder: Path) -> tuple[bool, bool]:
    folder.mkdir()
    save(folder, 1), save(folder, 2)
    saver, error = SAVERS[way](), None
    with failing(number) as disk, contextlib.redirect_stderr(io.StringIO()):
        try:
            save(folder, 3, saver=saver)
            if saver is not None:
                saver.finish()
        except StorageError as raised:
            error = raised
    found = resumable(folder)
    if way == "continue":
        # The second try has written it; a link that fails is a copy, and nobody's concern.
        held = error is None and found == 3
    else:
        held = found == 3 if error is None else found in (2, 3) and error.exit_code == 74
    held = held and not litter(folder)
    save(folder, 4)
    return disk.has_fired, held and resumable(folder) == 4
