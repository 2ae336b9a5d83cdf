"""Reading checkpoints: damage shows before anything is unpickled, and no code runs."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from dlplug.errors import CheckpointError
from dlplug.storage import manifest
from dlplug.storage.archive_file import load_archive
from dlplug.storage.pieces import Pieces, replaced
from dlplug.storage.sharded import open_sharded

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
    existing = [path for path in checkpoints if path.exists()]
    for position, path in enumerate(existing, 1):
        problem = manifest.damage(path)
        if problem is None:
            return path
        next_one = ": the one before it is looked at" if position < len(existing) else ""
        print(f"{path} is damaged ({problem}){next_one}", file=sys.stderr)
    return None


def read_checkpoint(path: str | os.PathLike, map_location: Any = "cpu") -> dict[str, Any]:
    """A checkpoint's content, tensors mapped from the file; runs no code from it.

    Damage is found before anything is unpickled: by the folder's manifest, or by the checksums in
    a file that the manifest does not know. Sharded tensors are put together.

    Args:
        path: A file, or a folder of shards.
        map_location: Where the tensors go, as in ``torch.load``.
    Raises:
        CheckpointError: there is none, it is damaged, or it holds objects.
    """
    content = open_checkpoint(path, map_location)
    return _with(path, content, lambda pieces: pieces.whole().to(map_location))


def read_outline(path: str | os.PathLike) -> dict[str, Any]:
    """`read_checkpoint`, but sharded tensors have a shape and a type only (device ``meta``)."""
    return _with(path, open_checkpoint(path), Pieces.outline)


def open_checkpoint(path: str | os.PathLike, map_location: Any = "cpu") -> dict[str, Any]:
    """`read_checkpoint`, but sharded tensors are `Pieces`, of which nothing has been read.

    Raises:
        CheckpointError: there is none, it is damaged, or it holds objects.
    """
    path = Path(path)
    if not path.exists():
        near = sorted(p.name for p in path.parent.glob("*.ckpt")) if path.parent.is_dir() else []
        raise CheckpointError(f"there is no checkpoint {path}", known=", ".join(near) or None)
    checkpoint = open_sharded(path) if path.is_dir() else load_archive(path, map_location)
    if not isinstance(checkpoint, Mapping) or "state_dict" not in checkpoint:
        raise CheckpointError(f"{path} is no checkpoint of Lightning: it has no state_dict")
    for name, kind in PARTS.items():
        if not isinstance(checkpoint.get(name, kind()), kind):
            raise CheckpointError(
                f"{path} is no checkpoint of Lightning: its {name} is a"
                f" {type(checkpoint[name]).__name__}",
                known=f"a {kind.__name__}",
            )
    weights = checkpoint["state_dict"]
    wrong = next((n for n, t in weights.items() if not isinstance(t, (Tensor, Pieces))), None)
    if wrong is not None:
        raise CheckpointError(f"{path} is no checkpoint: the weight {wrong!r} is no tensor")
    return checkpoint


def _with(
    path: str | os.PathLike, content: dict[str, Any], change: Callable[[Pieces], Tensor]
) -> dict[str, Any]:
    """The content with its `Pieces` changed; of a file, which has none, the very same content."""
    if not Path(path).is_dir():
        return content
    return replaced(content, lambda _, v: change(v) if isinstance(v, Pieces) else v)
