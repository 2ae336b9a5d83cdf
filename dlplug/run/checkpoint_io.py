"""Lightning's way to checkpoint files that survive crashes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from dlplug.errors import StorageError
from dlplug.storage import manifest
from dlplug.storage.archive_file import save_archive
from dlplug.storage.checkpoint import LAST, PREVIOUS, read_checkpoint
from dlplug.storage.files import link_file
from dlplug.storage.folders import remove, retire
from dlplug.storage.saver import Saver
from dlplug.storage.state_copy import copy_state
from dlplug.tasks.checkpoint import check_plain


class DurableCheckpointIO(TorchCheckpointIO):
    """Refuse what would not load safely; write beside the old file, synchronise, rename.

    Lightning 2.6.6 writes to the system's temporary folder and moves: across file systems that is
    a copy, which a kill or a full disk leaves half done, in the place of the last good file. The
    manifest of the folder knows each file's content, and ``last.ckpt`` is kept as ``previous.ckpt``
    when a newer one takes its place.

    Args:
        saver: Writes a copy of the state while the training goes on; None to wait for each file.
    """

    def __init__(self, saver: Saver | None = None):
        super().__init__()
        self.saver = saver

    def save_checkpoint(self, checkpoint, path, storage_options=None) -> None:
        """Save a checkpoint; ``storage_options`` must be None.

        Raises:
            CheckpointError: it holds an object; names who put it there.
            StorageError: it cannot be written; with a saver, an earlier one could not.
        """
        if storage_options is not None:
            raise TypeError("storage_options belong to remote storage; this writes local files")
        check_plain(checkpoint)
        path = Path(path)
        if self.saver is None:
            write_checkpoint(checkpoint, path)
        else:
            self.saver.submit(path, lambda: _writer(checkpoint, path))

    def load_checkpoint(self, path, map_location=None, weights_only=None) -> dict[str, Any]:
        """A checkpoint's content; runs no code from it, whatever ``weights_only`` says.

        Raises:
            CheckpointError: it is damaged or holds objects.
        """
        self.settle()
        return read_checkpoint(path, map_location or "cpu")

    def remove_checkpoint(self, path) -> None:
        """Remove a file, and what the manifest says of it."""
        self.settle()
        manifest.forget(Path(path))
        super().remove_checkpoint(path)

    def settle(self) -> None:
        """Wait for what is being written."""
        if self.saver is not None:
            self.saver.wait()

    def teardown(self) -> None:
        """Write what is left."""
        if self.saver is not None:
            self.saver.finish()


def write_checkpoint(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint of plain data and tensors, and enter it in its folder's manifest.

    Raises:
        StorageError: the disk is full or fails; says how many bytes the checkpoint needs.
    """

    def before_rename(entry: dict[str, Any]) -> None:
        previous = path.with_name(PREVIOUS)
        if path.is_dir():  # of a strategy that writes shards
            retire(path, previous) if path.name == LAST else remove(path)
        elif path.name == LAST and path.is_file():
            if previous.is_dir():
                remove(previous)
            manifest.expect_copy(path, previous)
            link_file(path, previous)
        manifest.expect(path, entry)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_archive(checkpoint, path, before_rename)
    except StorageError as error:
        raise StorageError(
            error.what,
            where=error.where,
            known=f"the checkpoint has {_size(checkpoint):,} bytes; {error.known or ''}",
            fix=error.fix,
        ) from error


def _writer(checkpoint: Mapping[str, Any], path: Path) -> Callable[[], None]:
    """What writes the checkpoint as it is now, whatever becomes of it."""
    copied, wait = copy_state(checkpoint)

    def write() -> None:
        wait()
        write_checkpoint(copied, path)

    return write


def _size(value: Any) -> int:
    """Bytes of all tensors in ``value``."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, Mapping):
        return sum(map(_size, value.values()))
    return sum(map(_size, value)) if isinstance(value, (list, tuple)) else 0
