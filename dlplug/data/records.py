"""Data sets in memory, read a batch at a time: ``__getitems__(positions)`` gives a whole batch."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from dlplug.data.digest import sha256_of

Inputs = Tensor | Mapping[str, Tensor] | tuple[Tensor, ...]


class Records(Dataset):
    """Inputs with targets.

    Args:
        inputs: A tensor ``(N, ...)``, or a mapping or tuple of such.
        targets: Shape ``(N, ...)``.
        indices: Which records belong to this data set, shape ``(n,)`` int64; None for all.
        weights: Of each record ``(N,)``, for weighted sampling; None where there are none.
    """

    def __init__(
        self,
        inputs: Inputs,
        targets: Tensor,
        indices: Tensor | None = None,
        weights: Tensor | None = None,
    ):
        self.inputs = inputs
        self.targets = targets
        self.indices = torch.arange(len(targets)) if indices is None else indices
        self._weights = weights

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> tuple[Inputs, Tensor]:
        record = self.indices[position]
        return rows_of(self.inputs, record), self.targets[record]

    def __getitems__(self, positions: Sequence[int]) -> tuple[Inputs, Tensor]:
        """A whole batch by one gather of each tensor; torch's loader prefers it."""
        rows = self.indices[torch.as_tensor(positions)]
        return rows_of(self.inputs, rows), self.targets[rows]

    @property
    def labels(self) -> Tensor:
        """Targets of this data set's records, shape ``(n, ...)``."""
        return self.targets[self.indices]

    @property
    def weights(self) -> Tensor | None:
        """Weights of this data set's records, shape ``(n,)``."""
        return None if self._weights is None else self._weights[self.indices]

    def digest(self) -> str:
        """SHA-256 of all its inputs and targets, in order."""
        return sha256_of([*tensors_of(self.inputs), self.targets], self.indices)


class ArrayRecords(Dataset):
    """Inputs alone, as for predictions.

    Args:
        inputs: A tensor ``(N, ...)``, or a mapping or tuple of such.
    """

    def __init__(self, inputs: Inputs):
        self.inputs = inputs

    def __len__(self) -> int:
        return len(tensors_of(self.inputs)[0])

    def __getitems__(self, positions: Sequence[int]) -> Inputs:
        """A batch of inputs."""
        return rows_of(self.inputs, torch.as_tensor(positions))


def rows_of(value: Inputs, rows: Tensor) -> Any:
    """The same rows of each tensor of ``value``."""
    if isinstance(value, Tensor):
        return value[rows]
    if isinstance(value, Mapping):
        return {name: tensor[rows] for name, tensor in value.items()}
    return tuple(tensor[rows] for tensor in value)


def tensors_of(value: Inputs) -> list[Tensor]:
    """The tensors of ``value`` in a list."""
    if isinstance(value, Tensor):
        return [value]
    return list(value.values() if isinstance(value, Mapping) else value)
