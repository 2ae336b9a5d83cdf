"""Lightning's way to checkpoint files that survive crashes."""

from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from dlplug.errors import StorageError
from dlplug.storage import manifest
from dlplug.storage.checkpoint import LAST, PREVIOUS, read_checkpoint
from dlplug.storage.files import link_file, write_file
from dlplug.tasks.checkpoint import check_plain


class DurableCheckpointIO(TorchCheckpointIO):
    """Refuse what would not load safely; write beside the old file, synchronise, rename.

    Lightning 2.6.6 writes to the system's temporary folder and moves: across file systems that is
    a copy, which a kill or a full disk leaves half done, in the place of the last good file. The
    manifest of the folder knows each file's content, and ``last.ckpt`` is kept as ``previous.ckpt``
    when a newer one takes its place.
    """

    def save_checkpoint(self, checkpoint, path, storage_options=None) -> None:
        """Save a checkpoint; ``storage_options`` must be None.

        Raises:
            CheckpointError: it holds an object; names who put it there.
        """
        if storage_options is not None:
            raise TypeError("storage_options belong to remote storage; this writes local files")
        check_plain(checkpoint)
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        hashed = None

        def write(file: IO[bytes]) -> None:
            nonlocal hashed
            hashed = manifest.HashedFile(file)
            try:
                torch.save(checkpoint, hashed)
            except RuntimeError as error:
                # torch 2.13 hides the disk's error behind one about the end of the archive.
                raise hashed.error or error from error

        def before_rename() -> None:
            if path.name == LAST and path.is_file():
                previous = path.with_name(PREVIOUS)
                manifest.expect_copy(path, previous)
                link_file(path, previous)
            manifest.expect(path, hashed.entry)

        try:
            write_file(path, write, before_rename)
        except StorageError as error:
            raise StorageError(
                error.what,
                where=error.where,
                known=f"the checkpoint has {_size(checkpoint):,} bytes; {error.known or ''}",
                fix=error.fix,
            ) from error

    def load_checkpoint(self, path, map_location=None, weights_only=None) -> dict[str, Any]:
        """A checkpoint's content; runs no code from it, whatever ``weights_only`` says.

        Raises:
            CheckpointError: it is damaged or holds objects.
        """
        return read_checkpoint(path, map_location or "cpu")

    def remove_checkpoint(self, path) -> None:
        """Remove a file, and what the manifest says of it."""
        manifest.forget(Path(path))
        super().remove_checkpoint(path)


def _size(value: Any) -> int:
    """Bytes of all tensors in ``value``."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, Mapping):
        return sum(map(_size, value.values()))
    return sum(map(_size, value)) if isinstance(value, (list, tuple)) else 0
