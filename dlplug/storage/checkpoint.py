"""Reading checkpoints: damage shows before anything is unpickled, and no code runs."""

import os
import pickle
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from dlplug.errors import CheckpointError
from dlplug.storage import manifest

# Names within a run's folder of checkpoints.
BEST, LAST, PREVIOUS = "best.ckpt", "last.ckpt", "previous.ckpt"


def newest_intact(checkpoints: Iterable[Path]) -> Path | None:
    """The first of several checkpoints that is not damaged; damaged ones are named on stderr."""
    for path in checkpoints:
        if not path.is_file():
            continue
        problem = manifest.damage(path)
        if problem is None:
            return path
        print(f"{path} is damaged ({problem}): the one before it is used", file=sys.stderr)
    return None


def read_checkpoint(path: str | os.PathLike, map_location: Any = "cpu") -> dict[str, Any]:
    """A checkpoint's content, tensors mapped from the file; runs no code from it.

    Damage is found before anything is unpickled: by the folder's manifest, or by the checksums in
    a file that the manifest does not know.

    Args:
        path: A file.
        map_location: Where the tensors go, as in ``torch.load``.
    Raises:
        CheckpointError: there is none, it is damaged, or it holds objects.
    """
    path = Path(path)
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*.ckpt")) if path.parent.is_dir() else []
        raise CheckpointError(f"there is no checkpoint {path}", known=", ".join(near) or None)
    problem = manifest.damage(path)
    if problem is not None:
        raise CheckpointError(
            f"{path} is damaged or no checkpoint: {problem}", fix="use another checkpoint"
        )
    try:
        checkpoint = torch.load(path, map_location=map_location, weights_only=True, mmap=True)
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
