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


def tree_hash(path: Path) -> str | None:
    """SHA-256 over the Python files of a folder, their names included; of a file, its own."""
    if not path.is_dir():
        return file_hash(path)
    digest = hashlib.sha256()
    for file in python_files(path):
        digest.update(f"{file.relative_to(path).as_posix()}\0{file_hash(file)}\0".encode())
    return digest.hexdigest()
