"""What each checkpoint of a folder must be: damage shows before anything is read from it.

``manifest.json`` holds, for each file, the size and SHA-256 of what it has and of what it is about
to get: a new content is entered before it takes the file's name, so that whichever of the two a
crash leaves in place is known. The inode tells which of them is in place.
"""

import hashlib
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

from dlplug.storage.files import write_text

NAME = "manifest.json"
BLOCK = 1 << 20  # bytes read at a time


class HashedFile:
    """A file that is written once, from front to back, and knows its hash.

    Args:
        file: Open for writing, empty.
    """

    def __init__(self, file: IO[bytes]):
        self.file = file
        self.inode = os.fstat(file.fileno()).st_ino
        self.size = 0
        self.digest = hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write bytes; returns their number. ``error`` keeps what went wrong."""
        try:
            written = self.file.write(data)
        except OSError as error:
            self.error = error
            raise
        self.digest.update(data)
        self.size += written
        return written

    def flush(self) -> None:
        """Hand everything to the operating system."""
        self.file.flush()

    @property
    def entry(self) -> dict[str, Any]:
        """What the manifest says of this content."""
        return {"bytes": self.size, "sha256": self.digest.hexdigest(), "inode": self.inode}


def expect(path: Path, entry: dict[str, Any]) -> None:
    """Enter the content that ``path`` is about to get, before the one that it has."""
    entries = read_manifest(path.parent)
    entries[path.name] = [entry, *_in_place(path, entries)]
    _write(path.parent, entries)


def expect_copy(source: Path, target: Path) -> None:
    """Enter that ``target`` is about to get the content that ``source`` has."""
    entries = read_manifest(source.parent)
    content = _in_place(source, entries)
    if content:
        entries[target.name] = [*content, *_in_place(target, entries)]
    else:  # the manifest was lost: the file's own checksums count
        entries.pop(target.name, None)
    _write(source.parent, entries)


def enter(folder: Path, entries: dict[str, dict[str, Any]]) -> None:
    """Enter the only contents of all files of a folder, which has no manifest yet."""
    _write(folder, {name: [entry] for name, entry in entries.items()})


def entry_of(path: Path) -> dict[str, Any]:
    """What a manifest says of a file as it is."""
    state = path.stat()
    digest = _sha256(os.fspath(path), state.st_ino, state.st_size, state.st_mtime_ns)
    return {"bytes": state.st_size, "sha256": digest, "inode": state.st_ino}


def forget(path: Path) -> None:
    """Take a file out that is about to be removed."""
    entries = read_manifest(path.parent)
    if entries.pop(path.name, None) is not None:
        _write(path.parent, entries)


def read_manifest(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The contents by file name; empty when there is no manifest that can be read."""
    try:
        entries = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint, or None; nothing in it is interpreted.

    A file that no manifest knows, such as a copy, is held against the checksums in it, which cover
    every tensor. A folder has a manifest of its own, which names each of its files.
    """
    if path.is_dir():
        return _damage_of_folder(path)
    state = path.stat()
    known = read_manifest(path.parent).get(path.name)
    if not known:
        return _damage_inside(path)
    hashes = [entry.get("sha256") for entry in known if entry.get("bytes") == state.st_size]
    if not hashes:
        return f"it has {state.st_size} bytes, the manifest says {known[0].get('bytes')}"
    found = _sha256(os.fspath(path), state.st_ino, state.st_size, state.st_mtime_ns)
    return None if found in hashes else "its SHA-256 is not the one in the manifest"


def _in_place(path: Path, entries: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The entries of the content that ``path`` has; all of them where the inode tells nothing."""
    known = entries.get(path.name, [])
    try:
        inode = path.stat().st_ino
    except FileNotFoundError:
        return []
    return [entry for entry in known if entry.get("inode") == inode] or known


@lru_cache(maxsize=64)
def _sha256(path: str, *state: int) -> str:
    """Hash of a file; ``state`` changes when the file does."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _damage_of_folder(folder: Path) -> str | None:
    known = read_manifest(folder).keys()
    if not known:
        return f"its {NAME} is missing or damaged"
    found = {path.name for path in folder.iterdir()} - {NAME}
    if found != known:
        missing = sorted(known - found)
        return f"it lacks {missing[0]}" if missing else f"{min(found - known)} is not of it"
    problems = ((name, damage(folder / name)) for name in sorted(known))
    return next((f"{name}: {problem}" for name, problem in problems if problem), None)


def _damage_inside(path: Path) -> str | None:
    try:
        with ZipFile(path) as archive:
            part = archive.testzip()
    except (BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        return f"it is no archive of torch: {error}"
    return f"its part {part} does not have its checksum" if part else None


def _write(folder: Path, entries: dict[str, list[dict[str, Any]]]) -> None:
    write_text(folder / NAME, json.dumps(entries, indent=1) + "\n")
