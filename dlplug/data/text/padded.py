"""Records of different lengths, padded to the longest of each batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dlplug.data.records import ArrayRecords, Records
from dlplug.nn.absent import PADDING


class PaddedRecords(Records):
    """Token records whose batches are as wide as their longest record.

    Args:
        inputs: Tokens, shape ``(N, T)``, padded at the end.
        targets: Shape ``(N,)``, or one for each token ``(N, T)``.
        indices: See `Records`.
    """

    def __getitems__(self, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Tokens ``(B, t)`` and targets ``(B,)`` or ``(B, t)``, int64."""
        tokens, targets = super().__getitems__(positions)
        width = width_of(tokens)
        targets = targets if targets.ndim == 1 else targets[:, :width]
        return tokens[:, :width].long(), targets.long()


class PaddedInputs(ArrayRecords):
    """Tokens alone, trimmed in the same way."""

    def __getitems__(self, positions: Sequence[int]) -> Tensor:
        """Tokens ``(B, t)`` int64."""
        tokens = super().__getitems__(positions)
        return tokens[:, : width_of(tokens)].long()


def width_of(tokens: Tensor) -> int:
    """Length of the longest record of ``(B, T)``, at least 1."""
    columns = (tokens != PADDING).any(dim=0).nonzero()
    return int(columns[-1]) + 1 if len(columns) else 1


def padded(sequences: Sequence[Sequence[int]], length: int, value: int = PADDING) -> Tensor:
    """Sequences as the rows of a tensor ``(N, length)`` int32; what is longer is cut off."""
    rows = torch.full((len(sequences), length), value, dtype=torch.int32)
    for row, sequence in enumerate(sequences):
        cut = torch.tensor(sequence[:length], dtype=torch.int32)
        rows[row, : len(cut)] = cut
    return rows
