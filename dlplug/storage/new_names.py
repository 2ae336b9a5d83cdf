"""Files that are complete when they take a name that nobody has."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO

from dlplug.plugin.locks import hold
from dlplug.storage.files import storage_error, synchronise, write_file


def write_new(
    contents: Mapping[str, Callable[[IO[bytes]], object]], names: Iterable[Path]
) -> dict[str, Path]:
    """Write files of one name, the first that none of them finds taken.

    Each is whole before it is seen, and the last one is seen last. Nothing is overwritten,
    whatever other processes write meanwhile. What a kill leaves beside them, `remove_litter`
    removes.

    Args:
        contents: By suffix, such as ``.csv``, what fills the open file that it gets.
        names: Without suffix, in one folder, as many as it takes.
    Returns:
        The files, by suffix.
    Raises:
        StorageError: the disk is full or fails; no new file is left.
    """
    with ExitStack() as stack:
        hidden: dict[str, Path] = {}
        for name in names:
            files = {suffix: name.with_suffix(suffix) for suffix in contents}
            if not hidden:
                for suffix, path in files.items():
                    hidden[suffix] = stack.enter_context(_hidden(path, contents[suffix]))
            try:
                if _all_named(hidden, files):
                    synchronise(name.parent)
                    return files
            except OSError as error:
                raise storage_error(name, error) from error
    raise ValueError("all names are taken")


@contextmanager
def _hidden(path: Path, write: Callable[[IO[bytes]], object]) -> Iterator[Path]:
    """A whole file beside ``path``, for as long as the block."""
    hidden = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with ExitStack() as stack:
        try:
            file = stack.enter_context(hidden.open("xb"))
            stack.callback(hidden.unlink, missing_ok=True)
            with suppress(BlockingIOError):  # of one who just asks
                hold(file)  # from a training in that folder, which removes litter
            write(file)
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            raise storage_error(path, error) from error
        yield hidden


def _all_named(hidden: Mapping[str, Path], files: Mapping[str, Path]) -> bool:
    """Give all of them their names, or none."""
    with ExitStack() as undo:
        for suffix, path in files.items():
            if not _named(hidden[suffix], path):
                return False
            undo.callback(path.unlink)
        undo.pop_all()
    return True


def _named(source: Path, target: Path) -> bool:
    """Give a file a second name, unless another has it."""
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    except OSError:
        return _copied(source, target)
    return True


def _copied(source: Path, target: Path) -> bool:
    """Where the file system knows no second names: for the time of a copy the file is empty."""
    try:
        target.open("x").close()
    except FileExistsError:
        return False
    with ExitStack() as undo:
        undo.callback(target.unlink)
        with source.open("rb") as content:
            write_file(target, partial(shutil.copyfileobj, content))
        undo.pop_all()
    return True
