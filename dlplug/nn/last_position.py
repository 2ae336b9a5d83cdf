"""The end of each sequence in a batch that is padded behind."""

import torch
from torch import Tensor

from dlplug.nn.absent import PADDING


def lengths_of(tokens_BT: Tensor) -> Tensor:
    """Positions up to the last token that is not padding, at least 1: shape ``(B,)`` int64.

    Args:
        tokens_BT: Shape ``(B, T)`` int64; token 0 is padding.
    """
    positions_T = torch.arange(1, tokens_BT.shape[1] + 1, device=tokens_BT.device)
    return ((tokens_BT != PADDING) * positions_T).amax(dim=1).clamp(min=1)


def last_position(y_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
    """What stands at the end of each sequence, shape ``(B, D)``.

    Args:
        y_BTD: Shape ``(B, T, D)``.
        lengths_B: Of the sequences, 1 ... T; None when all of them are T long.
    """
    if lengths_B is None:
        return y_BTD[:, -1]
    return y_BTD[torch.arange(len(y_BTD), device=y_BTD.device), lengths_B - 1]
