"""One tensor that lies in several files, cut along one of its dimensions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Box:
    """A rectangular part of a tensor.

    Args:
        offsets: Index of its first element in each dimension.
        sizes: Number of elements in each dimension; 0 for an empty one.
    """

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]

    @classmethod
    def whole(cls, shape: Sequence[int]) -> "Box":
        """Everything of a tensor."""
        return cls((0,) * len(shape), tuple(shape))

    @property
    def slices(self) -> tuple[slice, ...]:
        """For indexing the tensor."""
        pairs = zip(self.offsets, self.sizes, strict=True)
        return tuple(slice(offset, offset + size) for offset, size in pairs)


@dataclass(frozen=True)
class Pieces:
    """A tensor whose parts are read when they are asked for.

    Args:
        shape: Of the whole.
        dtype: Of the whole.
        parts: The boxes and what is in them; together they are the whole (see `gap`).
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    parts: tuple[tuple[Box, Tensor], ...]

    def take(self, box: Box) -> Tensor:
        """A new tensor, shape ``box.sizes``, on the CPU; reads only what it holds."""
        taken = torch.empty(box.sizes, dtype=self.dtype)
        for place, part in self.parts:
            common = _common(box, place)
            if common is not None:
                taken[_within(box, common)] = part[_within(place, common)]
        return taken

    def whole(self) -> Tensor:
        """All of it, as a new tensor on the CPU."""
        return self.take(Box.whole(self.shape))

    def outline(self) -> Tensor:
        """A tensor without content: shape and dtype only, on the device ``meta``."""
        return torch.empty(self.shape, dtype=self.dtype, device="meta")


def gap(shape: Sequence[int], boxes: Sequence[Box]) -> str | None:
    """Why boxes are not a tensor cut along one dimension, each element once; None if they are."""
    if not shape or any(len(b.offsets) != len(shape) or len(b.sizes) != len(shape) for b in boxes):
        return "a shard has another number of dimensions"
    if 0 in shape:
        return None
    filled = [box for box in boxes if 0 not in box.sizes]
    whole = Box.whole(shape)
    cut = {d for box in filled for d in range(len(shape)) if _side(box, d) != _side(whole, d)}
    if len(cut) > 1:
        return "its shards are cut in several dimensions"
    dimension = min(cut, default=0)
    end = 0
    for offset, size in sorted(_side(box, dimension) for box in filled):
        if offset != end or size < 0:
            return f"its shards do not meet at {end} in dimension {dimension}"
        end += size
    is_whole = end == shape[dimension]
    return None if is_whole else f"its shards end at {end} of {shape[dimension]}"


def replaced(value: Any, change: Callable[[tuple, Any], Any], path: tuple = ()) -> Any:
    """A copy of nested dicts, lists and tuples with ``change(path, leaf)`` for each leaf."""
    if isinstance(value, dict):
        items = ((key, replaced(item, change, (*path, key))) for key, item in value.items())
        return type(value)(items)
    if type(value) in (list, tuple):
        return type(value)(replaced(v, change, (*path, i)) for i, v in enumerate(value))
    return change(path, value)


def _side(box: Box, dimension: int) -> tuple[int, int]:
    return box.offsets[dimension], box.sizes[dimension]


def _common(one: Box, other: Box) -> Box | None:
    pairs = list(zip(one.offsets, one.sizes, other.offsets, other.sizes, strict=True))
    starts = tuple(max(a, b) for a, _, b, _ in pairs)
    ends = tuple(min(a + n, b + m) for a, n, b, m in pairs)
    sizes = tuple(end - start for start, end in zip(starts, ends, strict=True))
    return Box(starts, sizes) if all(size > 0 for size in sizes) else None


def _within(outer: Box, inner: Box) -> tuple[slice, ...]:
    """Where ``inner`` lies, counted from the corner of ``outer``."""
    offsets = tuple(i - o for i, o in zip(inner.offsets, outer.offsets, strict=True))
    return Box(offsets, inner.sizes).slices
