"""Files that are complete or not there."""

import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO

from dlplug.errors import StorageError


def write_file(
    path: str | os.PathLike,
    write: Callable[[IO[bytes]], object],
    before_rename: Callable[[], object] = lambda: None,
) -> None:
    """Let ``write`` fill a file that takes the name ``path`` only when it is safe on the disk.

    A crash, a kill or a full disk leaves the previous file as it was: the new one is written
    beside it, in the same file system, synchronised, and renamed. What a kill leaves beside it,
    `remove_litter` removes.

    Args:
        path: Name of the file; its folder exists.
        write: Gets the open file.
        before_rename: Called when the new file is safe, and the old one still in its place.
    Raises:
        StorageError: the disk is full or fails; there is the old file or the new one, whole.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        # Unlike tempfile's, it has the permissions of any new file, without a look at the umask:
        # that is a change of it, which other threads would see.
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        before_rename()
        os.replace(temporary, path)
        synchronise(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)  # before the free bytes are counted
        if isinstance(error, OSError):
            raise storage_error(path, error) from error
        raise


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
    """Remove files and folders that killed processes left; nobody else may be writing there.

    Returns:
        What was removed.
    """
    litter = list(folder.glob(".*.*.*"))
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
