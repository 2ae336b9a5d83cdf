"""Hashes of code."""

import hashlib
import os
from pathlib import Path

# Written by tools while code runs or is installed; not part of what the code does.
_LITTER = ("__pycache__", ".git", ".ipynb_checkpoints")


def file_hash(path: Path | None) -> str | None:
    """SHA-256 of a file; None when there is none."""
    try:
        return path and hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def python_files(path: Path) -> list[Path]:
    """The Python files of a folder, by name; of a file, itself."""
    if not path.is_dir():
        return [path]
    found = []
    for folder, folders, files in os.walk(path):
        folders[:] = [name for name in folders if name not in _LITTER]
        found += [Path(folder, name) for name in files if name.endswith(".py")]
    return sorted(found)


def file_hashes(path: Path) -> dict[Path, str | None]:
    """`file_hash` of each of `python_files`."""
    return {file: file_hash(file) for file in python_files(path)}


def tree_hash(path: Path, hashes: dict[Path, str | None] | None = None) -> str | None:
    """SHA-256 over the Python files of a folder, their names included; of a file, its own.

    Args:
        path: Of the folder or file.
        hashes: Its `file_hashes`, where they are known already.
    """
    if hashes is None:
        hashes = file_hashes(path)
    if not path.is_dir():
        return hashes[path]
    digest = hashlib.sha256()
    for file, content in hashes.items():
        digest.update(f"{file.relative_to(path).as_posix()}\0{content}\0".encode())
    return digest.hexdigest()
