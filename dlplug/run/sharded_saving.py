"""Save a checkpoint from all processes at once, each writing what it holds."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.distributed.tensor import DTensor

from dlplug.errors import DlplugError
from dlplug.run.placement import box_of
from dlplug.storage.checkpoint import LAST, PREVIOUS
from dlplug.storage.files import storage_error
from dlplug.storage.folders import new_folder, put_in_place, remove
from dlplug.storage.pieces import replaced
from dlplug.storage.sharded import Shard, complete, write_part
from dlplug.tasks.checkpoint import check_plain

T = TypeVar("T")


def save_sharded(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint into the folder ``path``; called in all processes at the same step.

    The folder gets its name when the files of all processes are on the disk. Returns when it has;
    ``last.ckpt`` is kept as ``previous.ckpt`` before. The processes share the file system.

    Args:
        checkpoint: Plain data and tensors, of which each process holds the same ones; whatever is
            no `DTensor` counts as the first process has it.
        path: The same in all processes.
    Raises:
        CheckpointError: the checkpoint holds an object; names who put it there.
        StorageError: in all processes, when one could not write; the old folder is in its place.
    """
    rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    common, shards = split(checkpoint)

    def begin() -> Path | None:
        if rank != 0:
            return None
        check_plain(common)
        return new_folder(path)

    folder = _together(begin, path)[0]
    previous = path.with_name(PREVIOUS) if path.name == LAST else None
    try:
        parts = _together(lambda: write_part(folder, rank, ranks, shards), path)

        def finish() -> None:
            if rank == 0:
                complete(folder, common, parts)
                put_in_place(folder, path, previous)

        _together(finish, path)
    except DlplugError:
        if rank == 0 and folder.exists():
            remove(folder)
        raise


def split(checkpoint: Mapping[str, Any]) -> tuple[dict[str, Any], dict[tuple, Shard]]:
    """A checkpoint with None in the places of sharded tensors, and this process's shards."""
    shards = {}

    def change(path: tuple, value: Any) -> Any:
        if not isinstance(value, DTensor):
            return value
        shards[path] = Shard(tuple(value.shape), box_of(value), value.to_local())
        return None

    return replaced(dict(checkpoint), change), shards


def _together(work: Callable[[], T], path: Path) -> list[T]:
    """What ``work`` returns in each process; where it fails in one, all of them raise that."""
    try:
        result, error = work(), None
    except OSError as raised:
        result, error = None, storage_error(path, raised)
    except DlplugError as raised:
        result, error = None, raised
    answers: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(answers, (result, error))
    failed = [(rank, error) for rank, (_, error) in enumerate(answers) if error is not None]
    if failed:
        rank, error = failed[0]
        raise type(error)(
            f"process {rank}: {error.what}", where=error.where, known=error.known, fix=error.fix
        )
    return [result for result, _ in answers]
