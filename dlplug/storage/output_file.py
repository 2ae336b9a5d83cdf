"""Files that a user names for a result."""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from dlplug.errors import ConfigError
from dlplug.storage.files import storage_error, write_file


def check_output(path: Path) -> None:
    """A file can be called ``path``: what there is no place for is said before any work.

    Raises:
        ConfigError: it is a folder, or in a folder that does not exist.
    """
    if path.is_dir():
        raise ConfigError(
            f"the output {path} is a folder",
            fix=f"name a file in it, such as {path / 'predictions.csv'}",
        )
    folder = Path(os.path.realpath(path)).parent
    if is_regular(path) and not folder.is_dir():
        raise ConfigError(f"{path}: the folder {folder} does not exist")


def is_regular(path: Path) -> bool:
    """Whether a new file may take the place of ``path``: not of a device, pipe or this output."""
    return not path.exists() or (path.is_file() and not _is_own_output(path))


def _is_own_output(path: Path) -> bool:
    """Whether it is the file that this process prints to, such as ``/dev/stdout``."""
    try:
        return os.path.samestat(path.stat(), os.fstat(1))
    except OSError:  # there is no output
        return False


def scratch_folder(path: Path) -> Path:
    """Where there is room for what is to be written to ``path``."""
    return path.parent if is_regular(path) else Path(tempfile.gettempdir())


def write_output(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let ``write`` fill a file at once, as `write_file` does; or write into a device or a pipe.

    Args:
        path: That `check_output` has let pass; the file behind it where it is a symbolic link.
        write: Gets the open file.
    Raises:
        StorageError: it cannot be written.
    """
    if is_regular(path):
        write_file(os.path.realpath(path), write)
        return
    try:
        if _is_own_output(path):
            sys.stdout.flush()
            with os.fdopen(os.dup(1), "wb") as file:  # what is printed later comes behind
                write(file)
            return
        with path.open("wb") as file:
            write(file)
    except OSError as error:
        raise storage_error(path, error) from error
