"""Stochastic depth: a residual branch is left out at random while training."""

import torch
from torch import Tensor, nn

from dlplug.errors import InvalidValueError


def stochastic_depth(update: Tensor, rate: float, training: bool = True) -> Tensor:
    """Set the update of each record to 0 with probability ``rate``, and scale the others up.

    y_b = keep_b * update_b / (1 - rate), keep_b = 1 with probability 1 - rate. The scale stands
    here rather than in the evaluation, as in dropout.

    Args:
        update: What a residual branch adds to the stream, shape ``(B, ...)``.
        rate: Share of updates that are left out, in ``[0, 1)``.
        training: False for no change.
    Returns:
        Tensor like ``update``.
    Raises:
        InvalidValueError: ``rate`` is out of range.
    References: Huang et al. 2016, arXiv:1603.09382, eq. 2.
    """
    _check(rate, "stochastic_depth: rate")
    if rate == 0 or not training:
        return update
    keep = torch.empty(len(update), dtype=update.dtype, device=update.device)
    keep = keep.bernoulli_(1 - rate) / (1 - rate)
    return update * keep.view(-1, *(1,) * (update.ndim - 1))


def _check(rate: float, name: str) -> None:
    if not 0 <= rate < 1:
        raise InvalidValueError(f"{name} = {rate} is not in [0, 1)")


def depth_rates(rate: float, num_blocks: int, name: str) -> list[float]:
    """The rate of each block: it rises in a line to ``rate`` at the last one.

    Args:
        rate: Of the last block, in ``[0, 1)``.
        num_blocks: Number of blocks.
        name: Of the architecture, for the message.
    Raises:
        InvalidValueError: ``rate`` is out of range.
    References: Huang et al. 2016, arXiv:1603.09382, eq. 4.
    """
    _check(rate, f"architecture {name}: stochastic_depth")
    return [rate * (block + 1) / num_blocks for block in range(num_blocks)]


class StochasticDepth(nn.Module):
    """`stochastic_depth` as a module.

    Args:
        rate: Share of updates that are left out while training, in ``[0, 1)``.
    Raises:
        InvalidValueError: ``rate`` is out of range.
    """

    def __init__(self, rate: float):
        super().__init__()
        _check(rate, "StochasticDepth: rate")
        self.rate = rate

    def forward(self, update: Tensor) -> Tensor:
        """See `stochastic_depth`."""
        return stochastic_depth(update, self.rate, self.training)

    def extra_repr(self) -> str:
        return f"rate={self.rate:g}"
