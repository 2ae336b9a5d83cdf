"""Quantile (pinball) loss: the answer that a given share of the targets lies below."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dlplug.errors import InvalidValueError, ShapeError


def quantile(output: Tensor, target: Tensor, quantiles: Tensor) -> Tensor:
    """Mean over records, targets and quantiles of ``max(q * e, (q - 1) * e)``, e = target - output.

    The best constant answer to the quantile q is the value below which a share q of the targets
    lies. For q = 0.5 it is half the absolute error.

    Args:
        output: Predictions, shape ``(..., K * Q)``: for each of K targets its Q quantiles, one
            after the other; ``(..., K, Q)`` does as well.
        target: Shape ``(..., K)``.
        quantiles: Shape ``(Q,)``, each in (0, 1).
    Returns:
        Scalar, float32 (float64 for float64 predictions), in the target's unit.
    Raises:
        ShapeError: the output is not Q times as wide as the target.
    References: Koenker, Bassett 1978, Econometrica 46(1), eq. 2.1.
    """
    Q = len(quantiles)
    if output.shape != (*target.shape, Q):
        if output.shape != (*target.shape[:-1], target.shape[-1] * Q):
            raise ShapeError(
                f"loss quantile: the output is {tuple(output.shape)}, the target"
                f" {tuple(target.shape)}, and there are {Q} quantiles;"
                f" the output must be {Q} times as wide as the target"
            )
        output = output.unflatten(-1, (-1, Q))
    output = output if output.dtype == torch.float64 else output.float()
    error = target.to(output.dtype).unsqueeze(-1) - output
    q = quantiles.to(output.dtype)
    return torch.maximum(q * error, (q - 1) * error).mean()


class QuantileLoss(nn.Module):
    """`quantile` as a module.

    Args:
        quantiles: Each in (0, 1); filled in from the task.
    Raises:
        InvalidValueError: there are none, or one is out of range.
    """

    def __init__(self, quantiles: Sequence[float]):
        super().__init__()
        check_quantiles(quantiles, "loss quantile")
        # Constants of the config, so that no checkpoint has to hold them.
        self.register_buffer("quantiles", torch.tensor(list(quantiles)), persistent=False)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """See `quantile`."""
        return quantile(output, target, self.quantiles)


def check_quantiles(quantiles: Sequence[float], owner: str) -> None:
    """They rise, and each is in (0, 1).

    Args:
        quantiles: To check.
        owner: Whose they are, for the message.
    Raises:
        InvalidValueError: they do not.
    """
    values = list(quantiles)
    if not values or not all(0 < q < 1 for q in values) or sorted(set(values)) != values:
        raise InvalidValueError(
            f"{owner}: quantiles = {values}",
            known="numbers between 0 and 1 in rising order, such as [0.1, 0.5, 0.9]",
        )
