"""Predictions that are needed again, on the disk instead of in memory."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dlplug.run.prediction_stream import Predictions, joined
from dlplug.storage.unnamed_file import UnnamedFile

# Bytes at a multiple of which a tensor of any dtype may begin.
ALIGNMENT = 64


class Spool:
    """Takes predictions batch by batch, and gives any of them back, without holding them.

    Tensors lie in a file without a name. Predictions that are no tensors stay in memory.

    Args:
        folder: Where there is room.
    """

    def __init__(self, folder: Path):
        self._parts: list[_Tensors | _Objects] = []
        self._file = UnnamedFile(folder / "predictions")

    def __len__(self) -> int:
        return sum(part.count for part in self._parts)

    def add(self, predictions: Predictions) -> None:
        """Take those of the next records.

        Raises:
            StorageError: the disk is full.
        """
        if isinstance(predictions, Tensor):
            self._add_tensor(predictions)
        elif all(isinstance(row, Tensor) for row in predictions):
            for row in predictions:
                self._add_tensor(row[None])
        else:
            self._parts.append(_Objects(list(predictions)))

    def rows(self, start: int, count: int) -> Predictions:
        """Those of ``count`` records from ``start`` on; a tensor is a view of the file."""
        found, first = [], 0
        for part in self._parts:
            begin, end = max(start, first), min(start + count, first + part.count)
            if begin < end:
                found.append(part.rows(self._file.file, begin - first, end - begin))
            first += part.count
        return joined(found) if found else []

    def close(self) -> None:
        """Give the room back, when the last view of the file is gone too."""
        self._file.close()

    def _add_tensor(self, batch: Tensor) -> None:
        last, shape = self._parts[-1] if self._parts else None, tuple(batch.shape[1:])
        is_next = isinstance(last, _Tensors) and (last.shape, last.dtype) == (shape, batch.dtype)
        content = batch.contiguous().flatten().view(torch.uint8).numpy()
        offset = self._file.write(content, 1 if is_next else ALIGNMENT)
        if not is_next:
            last = _Tensors(offset, shape, batch.dtype)
            self._parts.append(last)
        last.count += len(batch)


@dataclass
class _Tensors:
    """Records of one shape and dtype, one behind the other from ``offset`` bytes on."""

    offset: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    count: int = 0

    def rows(self, file, start: int, count: int) -> Tensor:
        width = torch.Size(self.shape).numel() * self.dtype.itemsize
        if not width:
            return torch.empty(count, *self.shape, dtype=self.dtype)
        # Copied only where it is written to, which torch wants to be allowed.
        size, offset = count * width, self.offset + start * width
        content = np.memmap(file, np.uint8, "c", offset=offset, shape=(size,))
        return torch.from_numpy(content).view(self.dtype).view(count, *self.shape)


@dataclass
class _Objects:
    """Predictions that are no tensors."""

    content: list

    @property
    def count(self) -> int:
        return len(self.content)

    def rows(self, file, start: int, count: int) -> list:
        return self.content[start : start + count]
