"""A file that nobody sees, for what is written long before it is complete."""

import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import IO

from dlplug.storage.files import storage_error


class UnnamedFile:
    """Takes bytes; it is gone when this is closed, or with the process however that ends.

    Nothing that looks through the folder finds it meanwhile, such as a run that goes on and removes
    what killed processes left.

    Args:
        path: What it is to become, or stands for, in messages; it lies in the folder of that.
    """

    def __init__(self, path: Path):
        self.path = path

    @cached_property
    def file(self) -> IO[bytes]:
        """Open; made with its first use.

        Raises:
            StorageError: the folder cannot be written to.
        """
        try:
            return tempfile.TemporaryFile(dir=self.path.parent)
        except OSError as error:
            raise storage_error(self.path, error) from error

    def write(self, data: bytes, alignment: int = 1) -> int:
        """Add bytes at the end, where whoever maps the file sees them.

        Args:
            data: Any object of bytes.
            alignment: Of the place where they begin.
        Returns:
            That place, bytes from the start.
        Raises:
            StorageError: the disk is full or fails.
        """
        start = -(-self.file.tell() // alignment) * alignment

        def add(file: IO[bytes]) -> None:
            file.seek(start)
            file.write(data)

        self.fill(add)
        return start

    def fill(self, write: Callable[[IO[bytes]], object]) -> None:
        """Let ``write`` add to the open file that it gets.

        Raises:
            StorageError: the disk is full or fails.
        """
        try:
            write(self.file)
            self.file.flush()
        except OSError as error:
            raise storage_error(self.path, error) from error

    def copy_to(self, file: IO[bytes]) -> None:
        """Write all of it to another file."""
        self.file.seek(0)
        shutil.copyfileobj(self.file, file)

    def close(self) -> None:
        """Give the room back, when whoever has mapped the file is done with it, too."""
        if "file" in vars(self):
            with suppress(OSError):  # what a full disk did not take is tried again
                self.file.close()
