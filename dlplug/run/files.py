"""Files that are complete or not there."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO


def write_file(path: str | os.PathLike, write: Callable[[IO[bytes]], object]) -> None:
    """Let ``write`` fill a file that takes the name ``path`` only when it is safe on the disk.

    A crash, a kill or a full disk leaves the previous file as it was: the new one is written
    beside it, in the same file system, synchronised, and renamed.
    """
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's files are their owner's alone
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_text(path: str | os.PathLike, text: str) -> None:
    """`write_file` with UTF-8 text."""
    write_file(path, lambda file: file.write(text.encode()))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
