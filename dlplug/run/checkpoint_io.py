"""Checkpoint files that survive crashes, and reading them safely."""

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from dlplug.errors import CheckpointError
from dlplug.run.files import write_file
from dlplug.tasks.checkpoint import check_plain


class DurableCheckpointIO(TorchCheckpointIO):
    """Refuse what would not load safely; write beside the old file, synchronise, rename.

    Lightning 2.6.6 writes to the system's temporary folder and moves: across file systems that is
    a copy, which a kill or a full disk leaves half done, in the place of the last good file.
    """

    def save_checkpoint(self, checkpoint, path, storage_options=None) -> None:
        """Save a checkpoint; ``storage_options`` must be None.

        Raises:
            CheckpointError: it holds an object; names who put it there.
        """
        if storage_options is not None:
            raise TypeError("storage_options belong to remote storage; this writes local files")
        check_plain(checkpoint)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_file(path, lambda file: torch.save(checkpoint, file))


def read_checkpoint(path: str | os.PathLike) -> dict[str, Any]:
    """A checkpoint's content, tensors mapped from the file and on the CPU; runs no code from it.

    Raises:
        CheckpointError: there is none, it is damaged, or it holds objects.
    """
    path = Path(path)
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*.ckpt")) if path.parent.is_dir() else []
        raise CheckpointError(f"there is no checkpoint {path}", known=", ".join(near) or None)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds objects besides tensors and plain data: {error}",
            fix="save it again without them; dlplug loads no objects, for they can run any code",
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is damaged or no checkpoint: {error}", fix="use another checkpoint"
        ) from error
    if not isinstance(checkpoint, Mapping) or "state_dict" not in checkpoint:
        raise CheckpointError(f"{path} is no checkpoint of Lightning: it has no state_dict")
    return checkpoint
