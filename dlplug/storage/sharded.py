"""Checkpoints in folders: each process's shards in a file of its own, and an index of them.

``rank-0-of-2.pt``, ``rank-1-of-2.pt``: tensors by name. ``common.pt``: the checkpoint with None in
the place of each sharded tensor. ``index.json``: for each of these its path in the checkpoint, its
shape and dtype, and for each process the offsets and sizes of its shard. ``manifest.json``: size
and SHA-256 of each file.
"""

import json
import operator
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlplug.errors import CheckpointError
from dlplug.storage import manifest
from dlplug.storage.archive_file import load_archive, save_archive
from dlplug.storage.files import write_text
from dlplug.storage.pieces import Box, Pieces, gap, replaced

COMMON, INDEX = "common.pt", "index.json"
FORMAT = 1


@dataclass(frozen=True)
class Shard:
    """What one process has of a tensor.

    Args:
        shape: Of the whole tensor.
        box: Where the shard lies.
        content: Of the shape ``box.sizes``.
    """

    shape: tuple[int, ...]
    box: Box
    content: Tensor


@dataclass(frozen=True)
class Part:
    """A file of shards that has been written.

    Args:
        entry: Of the file in a manifest.
        tensors: Path of each tensor, its shape, its dtype and the shard's box.
    """

    entry: dict[str, Any]
    tensors: list[tuple[tuple, tuple[int, ...], str, Box]]


def write_part(folder: Path, rank: int, ranks: int, shards: Mapping[tuple, Shard]) -> Part:
    """Write the shards of one process, by their paths in the checkpoint.

    Raises:
        StorageError: the disk is full or fails.
    """
    contents = {_name(path): _compact(shard.content) for path, shard in shards.items()}
    entry = save_archive(contents, folder / part_name(rank, ranks))
    tensors = [
        (path, shard.shape, str(shard.content.dtype).removeprefix("torch."), shard.box)
        for path, shard in shards.items()
    ]
    return Part(entry, tensors)


def complete(folder: Path, common: Mapping[str, Any], parts: Sequence[Part]) -> None:
    """Write everything else when all parts are there.

    Args:
        folder: Of the parts.
        common: The checkpoint without its sharded tensors.
        parts: By rank.
    Raises:
        CheckpointError: the processes do not hold shards of the same tensors.
        StorageError: the disk is full or fails.
    """
    if any([t[:-1] for t in part.tensors] != [t[:-1] for t in parts[0].tensors] for part in parts):
        raise CheckpointError("the processes hold shards of different tensors", where=str(folder))
    rows = [
        {
            "path": list(path),
            "shape": list(shape),
            "dtype": dtype,
            "shards": [asdict(part.tensors[number][-1]) for part in parts],
        }
        for number, (path, shape, dtype, _) in enumerate(parts[0].tensors)
    ]
    entries = {part_name(rank, len(parts)): part.entry for rank, part in enumerate(parts)}
    entries[COMMON] = save_archive(common, folder / COMMON)
    index = {"format": FORMAT, "ranks": len(parts), "tensors": rows}
    write_text(folder / INDEX, json.dumps(index) + "\n")
    entries[INDEX] = manifest.entry_of(folder / INDEX)
    manifest.enter(folder, entries)


def open_sharded(folder: Path) -> Any:
    """A checkpoint's content with `Pieces` in the places of its sharded tensors.

    Args:
        folder: Which may come from anywhere: everything in it is checked.
    Raises:
        CheckpointError: it is damaged, or no checkpoint.
    """
    try:
        problem = manifest.damage(folder)
        if problem is None:
            return _open(folder)
    # What is of another form answers with any of these.
    except (LookupError, TypeError, ValueError, AttributeError, OSError, RecursionError) as error:
        problem = f"it is of another form: {type(error).__name__}: {error}"
    raise CheckpointError(
        f"{folder} is damaged or no checkpoint: {problem}", fix="use another checkpoint"
    )


def part_name(rank: int, ranks: int) -> str:
    """Of the file with the shards of a process."""
    return f"rank-{rank}-of-{ranks}.pt"


def _open(folder: Path) -> Any:
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    if index["format"] != FORMAT:
        raise ValueError(f"format {index['format']}, this dlplug reads {FORMAT}")
    files = manifest.read_manifest(folder).keys() - {COMMON, INDEX}
    ranks = index["ranks"]
    if ranks != len(files) or files != {part_name(rank, ranks) for rank in range(ranks)}:
        raise ValueError(f"{INDEX} is of {ranks} processes, the files are not")
    parts = [load_archive(folder / part_name(rank, ranks)) for rank in range(ranks)]
    tensors = {tuple(row["path"]): _pieces(row, parts) for row in index["tensors"]}
    if any(part.keys() != set(map(_name, tensors)) for part in parts):
        raise ValueError(f"{INDEX} does not name the tensors of the files")
    found = set()

    def change(path: tuple, value: Any) -> Any:
        if path in tensors:
            found.add(path)
        return tensors.get(path, value)

    content = replaced(load_archive(folder / COMMON), change)
    if missing := tensors.keys() - found:
        raise ValueError(f"{COMMON} has no place for {_name(min(missing, key=str))}")
    return content


def _pieces(row: Mapping[str, Any], parts: Sequence[Mapping[str, Tensor]]) -> Pieces:
    name = _name(row["path"])
    dtype = getattr(torch, row["dtype"])
    shape = _numbers(row["shape"])
    boxes = [Box(_numbers(s["offsets"]), _numbers(s["sizes"])) for s in row["shards"]]
    if problem := gap(shape, boxes):
        raise ValueError(f"{name}: {problem}")
    contents = [part[name] for part in parts]
    for box, content in zip(boxes, contents, strict=True):
        if tuple(content.shape) != box.sizes or content.dtype != dtype:
            raise ValueError(f"{name}: a shard is {content.dtype} {tuple(content.shape)}")
    return Pieces(shape, dtype, tuple(zip(boxes, contents, strict=True)))


def _numbers(values: Sequence[int]) -> tuple[int, ...]:
    return tuple(map(operator.index, values))


def _name(path: Sequence[Any]) -> str:
    return "/".join(map(str, path))


def _compact(tensor: Tensor) -> Tensor:
    """The same on the CPU, in memory of its own size: a file has all memory behind a tensor."""
    tensor = tensor.detach().cpu()
    is_all = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    if is_all and tensor.is_contiguous():
        return tensor
    return tensor.clone(memory_format=torch.contiguous_format)
