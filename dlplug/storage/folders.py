"""Checkpoints that are folders: complete under their name, or not there."""

import ctypes
import os
import secrets
import shutil
from pathlib import Path

from dlplug.storage import manifest
from dlplug.storage.files import synchronise

# Of Linux's renameat2(2): both names exist, and change places in one step.
AT_FDCWD, RENAME_EXCHANGE = -100, 2


def new_folder(path: Path) -> Path:
    """An empty folder beside ``path``, which is to get this name.

    What a kill leaves of it `remove_litter` removes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    folder.mkdir()
    return folder


def put_in_place(folder: Path, path: Path, previous: Path | None = None) -> None:
    """Give a folder whose files are safe on the disk the name ``path``.

    Args:
        folder: Beside ``path``.
        path: The name, which a file or a folder may have.
        previous: The name that this gets; None to remove it. With it, a kill at any time leaves a
            whole one under ``path`` or ``previous``. Without it, ``path`` always has the old or the
            new one where the system can exchange two names (Linux, on its own file systems);
            elsewhere a kill between two renames leaves the name free.
    """
    synchronise(folder)
    if previous is not None:
        retire(path, previous)
    if os.path.lexists(path):
        old = folder if _exchange(folder, path) else _aside(path)
        if old != folder:
            os.rename(folder, path)
        synchronise(path.parent)
        remove(old)
    else:
        os.rename(folder, path)
        synchronise(path.parent)
    manifest.forget(path)


def retire(path: Path, previous: Path) -> None:
    """Give what has the name ``path``, if anything, the name ``previous`` instead."""
    if not os.path.lexists(path):
        return
    if path.is_dir():
        manifest.forget(previous)
    else:
        manifest.expect_copy(path, previous)
    older = _aside(previous) if os.path.lexists(previous) else None
    os.rename(path, previous)
    synchronise(path.parent)
    if older is not None:
        remove(older)


def remove(path: Path) -> None:
    """Remove a file, or a folder with everything in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _aside(path: Path) -> Path:
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    os.rename(path, aside)
    return aside


def _exchange(first: Path, second: Path) -> bool:
    """Let two names change places; False where the system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    names = os.fsencode(first), os.fsencode(second)
    return rename(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE) == 0
