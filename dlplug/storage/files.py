"""Files that are complete or not there."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from dlplug.errors import StorageError
from dlplug.plugin.locks import is_held


class NewFile:
    """A file that takes its name at the end of a ``with`` block, when it is safe on the disk.

    A crash, a kill, a full disk or an error in the block leaves the previous file as it was: the
    new one is written beside it, in the same file system, synchronised, and renamed. What a kill
    leaves beside it, `remove_litter` removes.

    Args:
        path: Name of the file; its folder exists. It may be changed within the block.
        before_rename: Called when the new file is safe, and the old one still in its place.
    Raises:
        StorageError: the disk is full or fails; there is the old file or the new one, whole. What
            else is raised in the block passes as it is.
    """

    def __init__(self, path: str | os.PathLike, before_rename: Callable[[], object] = lambda: None):
        self.path = Path(path)
        self.before_rename = before_rename
        self._temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        self._file: IO[bytes] | None = None

    def __enter__(self) -> "NewFile":
        with self._storing():
            # Unlike tempfile's, it has the permissions of any new file, without a look at the
            # umask: that is a change of it, which other threads would see.
            handle = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            self._file = os.fdopen(handle, "wb")
        return self

    def write(self, data: bytes) -> None:
        """Add bytes at the end."""
        self.fill(lambda file: file.write(data))

    def fill(self, write: Callable[[IO[bytes]], object]) -> None:
        """Let ``write`` add to the open file that it gets."""
        with self._storing():
            write(self._file)

    def __exit__(self, kind, error, trace) -> None:
        if error is not None:
            self._discard()
            return
        with self._storing():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self.before_rename()
            os.replace(self._temporary, self.path)
            synchronise(self.path.parent)

    @contextmanager
    def _storing(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._discard()  # before the free bytes are counted
            if isinstance(error, OSError):
                raise storage_error(self.path, error) from error
            raise

    def _discard(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # what was not written yet may find the disk full again
                self._file.close()
        self._temporary.unlink(missing_ok=True)


def write_file(
    path: str | os.PathLike,
    write: Callable[[IO[bytes]], object],
    before_rename: Callable[[], object] = lambda: None,
) -> None:
    """Let ``write`` fill a `NewFile` at once.

    Args:
        path: Name of the file; its folder exists.
        write: Gets the open file.
        before_rename: Called when the new file is safe, and the old one still in its place.
    Raises:
        StorageError: the disk is full or fails; there is the old file or the new one, whole.
    """
    with NewFile(path, before_rename) as file:
        file.fill(write)


def write_text(path: str | os.PathLike, text: str) -> None:
    """`write_file` with UTF-8 text."""
    write_file(path, lambda file: file.write(text.encode()))


def link_file(source: Path, target: Path) -> None:
    """Give the file ``source`` the second name ``target`` as well, in place of what had it.

    Where the file system knows no second names, it is a copy.
    """
    temporary = source.with_name(f".{target.name}.{os.getpid()}.link")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        with source.open("rb") as content:
            write_file(target, lambda file: shutil.copyfileobj(content, file))
        return
    try:
        os.replace(temporary, target)
    finally:
        # Where the target is this very file already, a rename does nothing and leaves both names.
        temporary.unlink(missing_ok=True)
    synchronise(target.parent)


def remove_litter(folder: Path) -> list[Path]:
    """Remove files and folders that killed processes left.

    Nobody else may be writing there, but for files that are held (`dlplug.plugin.locks`).

    Returns:
        What was removed.
    """
    litter = [path for path in folder.glob(".*.*.*") if not is_held(path)]
    for path in litter:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return litter


def storage_error(path: Path, error: OSError) -> StorageError:
    """What a user is told when ``path`` cannot be written: why, and how many bytes are free."""
    try:
        free = f"{shutil.disk_usage(path.parent).free:,} bytes are free"
    except OSError:
        free = None
    return StorageError(
        f"{path} cannot be written: {error.strerror or error}",
        where=str(path.parent.absolute()),
        known=free,
        fix="make room or mend the disk; nothing that was there is lost",
    )


def synchronise(folder: Path) -> None:
    """Let the names in a folder be safe on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
