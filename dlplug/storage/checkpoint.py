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
from dlplug.storage.archive import malformation

# Names within a run's folder of checkpoints.
BEST, LAST, PREVIOUS = "best.ckpt", "last.ckpt", "previous.ckpt"
# What Lightning reads, where it is there.
PARTS = {
    "state_dict": dict,
    "callbacks": dict,
    "loops": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
    "epoch": int,
    "global_step": int,
}


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
    problem = malformation(path) or manifest.damage(path)
    if problem is not None:
        raise CheckpointError(
            f"{path} is damaged or no checkpoint: {problem}", fix="use another checkpoint"
        )
    try:
        checkpoint = torch.load(path, map_location=map_location, weights_only=True, mmap=True)
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
    if not isinstance(checkpoint, Mapping) or "state_dict" not in checkpoint:
        raise CheckpointError(f"{path} is no checkpoint of Lightning: it has no state_dict")
    for name, kind in PARTS.items():
        if not isinstance(checkpoint.get(name, kind()), kind):
            raise CheckpointError(
                f"{path} is no checkpoint of Lightning: its {name} is a"
                f" {type(checkpoint[name]).__name__}",
                known=f"a {kind.__name__}",
            )
    wrong = next((n for n, t in checkpoint["state_dict"].items() if not torch.is_tensor(t)), None)
    if wrong is not None:
        raise CheckpointError(f"{path} is no checkpoint: the weight {wrong!r} is no tensor")
    return checkpoint


def _reason(error: Exception) -> str:
    """What torch says, without its advice to load the file all the same."""
    text = str(error)
    for before in ("from a trusted source.", "WeightsUnpickler error:"):
        text = text.partition(before)[2] or text
    for after in ("Please use `torch.serialization", "Check the documentation"):
        text = text.partition(after)[0]
    return " ".join(text.split())
