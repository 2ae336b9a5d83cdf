"""Windows of one long series, each with what follows it."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from dlplug.data.digest import sha256_of


class ForecastWindows(Dataset):
    """Batches of the past ``(B, T, F)`` and of the targets that follow ``(B, horizon, K)``.

    Args:
        values: Shape ``(N, F)``, float32, standardised; the first K columns are the targets.
        num_targets: K.
        length: T.
        horizon: Steps to forecast.
        forecast: The rows that belong to this data set: the targets of a window all lie there,
            while its past may lie before, where it is known by then.
        stride: Rows from one window to the next.
    """

    def __init__(
        self,
        values: Tensor,
        num_targets: int,
        length: int,
        horizon: int,
        forecast: range,
        stride: int = 1,
    ):
        self.values = values
        self.num_targets, self.length, self.horizon = num_targets, length, horizon
        first = max(0, forecast.start - length)
        self.starts = torch.arange(first, max(first, forecast.stop - length - horizon + 1), stride)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitems__(self, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """A whole batch by one gather."""
        starts = self.starts[torch.as_tensor(positions)]
        rows = self.values[starts[:, None] + torch.arange(self.length + self.horizon)]
        return rows[:, : self.length], rows[:, self.length :, : self.num_targets]

    def digest(self) -> str:
        """SHA-256 of the rows that its windows read."""
        rows = self.values[:0]
        if len(self):
            end = int(self.starts[-1]) + self.length + self.horizon
            rows = self.values[int(self.starts[0]) : end]
        return sha256_of([rows])
