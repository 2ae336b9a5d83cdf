"""One of torch's archives as a file: written with its hash, read without running code."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch

from dlplug.errors import CheckpointError
from dlplug.storage import manifest
from dlplug.storage.archive import malformation
from dlplug.storage.files import write_file


def save_archive(
    content: Any,
    path: Path,
    before_rename: Callable[[dict[str, Any]], object] = lambda entry: None,
) -> dict[str, Any]:
    """Write plain data and tensors as `write_file` does.

    Args:
        content: What ``torch.save`` gets.
        path: Of the file; its folder exists.
        before_rename: Gets the entry when the file is safe and the old one is still in its place.
    Returns:
        The entry of the file in a manifest.
    Raises:
        StorageError: the disk is full or fails.
    """
    hashed = None

    def write(file: IO[bytes]) -> None:
        nonlocal hashed
        hashed = manifest.HashedFile(file)
        try:
            torch.save(content, hashed)
        except RuntimeError as error:
            # torch 2.13 hides the disk's error behind one about the end of the archive.
            raise hashed.error or error from error

    write_file(path, write, lambda: before_rename(hashed.entry))
    return hashed.entry


def load_archive(path: Path, map_location: Any = "cpu") -> Any:
    """The content of a file, tensors mapped from it; damage shows before anything is unpickled.

    Args:
        path: An existing file.
        map_location: As in ``torch.load``.
    Raises:
        CheckpointError: it is damaged, or holds objects.
    """
    problem = malformation(path) or manifest.damage(path)
    if problem is not None:
        raise CheckpointError(
            f"{path} is damaged or no checkpoint: {problem}", fix="use another checkpoint"
        )
    try:
        return torch.load(path, map_location=map_location, weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds objects besides tensors and plain data: {_reason(error)}",
            fix="save it again without them; dlplug loads no objects, for they can run any code",
        ) from error
    # torch answers a pickle that makes no sense with any exception that Python has.
    except Exception as error:
        raise CheckpointError(
            f"{path} is damaged or no checkpoint: {_reason(error)}", fix="use another checkpoint"
        ) from error


def _reason(error: Exception) -> str:
    """What torch says, without its advice to load the file all the same."""
    text = str(error)
    for before in ("from a trusted source.", "WeightsUnpickler error:"):
        text = text.partition(before)[2] or text
    for after in ("Please use `torch.serialization", "Check the documentation"):
        text = text.partition(after)[0]
    return " ".join(text.split())
