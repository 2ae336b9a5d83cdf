"""A long row of tokens as a data set of windows, each with its next tokens."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from dlplug.data.digest import sha256_of


class Windows(Dataset):
    """Batches of tokens ``(B, T)`` and next tokens ``(B, T)``, int64.

    Args:
        tokens: Of one split, shape ``(N,)``; no window reaches beyond it.
        length: T.
        stride: Tokens from the start of one window to that of the next.
        streams: Where given, the order is that of so many texts read side by side: record
            ``i * streams + s`` is window i of stream s, so that in batches of this size row s
            goes on where row s of the batch before ended. Windows that do not fill all streams
            are left out.
    """

    def __init__(self, tokens: Tensor, length: int, stride: int, streams: int | None = None):
        self.tokens = tokens
        self.length = length
        count = max(0, (len(tokens) - 1 - length) // stride + 1)
        starts = torch.arange(count) * stride
        if streams is not None:
            each = count // streams
            starts = starts[: each * streams].view(streams, each).t().flatten()
        self.starts = starts

    def __len__(self) -> int:
        return len(self.starts)

    def __getitems__(self, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """A whole batch by one gather."""
        starts = self.starts[torch.as_tensor(positions)]
        rows = self.tokens[starts[:, None] + torch.arange(self.length + 1)].long()
        return rows[:, :-1], rows[:, 1:]

    def digest(self) -> str:
        """SHA-256 of the tokens."""
        return sha256_of([self.tokens])
