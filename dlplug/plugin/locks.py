"""Locks between processes, which end with their process and leave no file.

They stand here because the user's choices need them, and this package imports none of the others.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from weakref import WeakSet

_held: WeakSet[IO] = WeakSet()  # one that is closed may stay, and counts for nothing


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Be alone among the processes that change what is in a folder.

    Raises:
        OSError: there is no such folder.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def hold(file: IO[bytes]) -> None:
    """Let `is_held` be true of an open file until it is closed, or its process dies.

    Those that it forks do not hold it: a loader's worker outlives a killed training by seconds.

    Raises:
        BlockingIOError: another process holds it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # some network file systems have no locks
        return
    _held.add(file)


def is_held(path: Path) -> bool:
    """Whether a process holds the file. Asking writes nothing: it may be somebody else's."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _let_go() -> None:
    """In a forked process, give up its copies of what is held; the parent's hold goes on.

    They become the null device instead of being closed: their numbers stay taken, and what the
    parent has not written yet is not written twice.
    """
    files = [file for file in _held if not file.closed]
    _held.clear()
    if files:
        null = os.open(os.devnull, os.O_RDWR)
        for file in files:
            os.dup2(null, file.fileno(), inheritable=False)
        os.close(null)


os.register_at_fork(after_in_child=_let_go)
