"""How often the predicted quantiles keep what they promise."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from dlplug.errors import ConfigError, InvalidValueError


class QuantileCoverage(Metric):
    """Share of the targets between the lowest and the highest predicted quantile.

    It is to be their difference: 0.9 of the quantiles 0.05, 0.5 and 0.95. With ``level`` it is the
    share of the targets at or below that quantile, and is to be the level itself.

    Args:
        quantiles: The levels, each in (0, 1); filled in from the task.
        level: One of them; None for the range of all.
    Raises:
        InvalidValueError: ``level`` is none of them, or there is no range of one quantile.
    """

    full_state_update = False
    higher_is_better = None

    def __init__(self, quantiles: Sequence[float], level: float | None = None):
        super().__init__()
        levels = sorted(quantiles)
        if level is not None and level not in levels:
            raise InvalidValueError(
                f"metric quantile_coverage: level = {level} is not predicted",
                known=", ".join(map(str, levels)),
                fix="add it to task.quantiles",
            )
        if level is None and len(levels) < 2:
            raise InvalidValueError(
                f"metric quantile_coverage: there is no range of the quantiles {levels}",
                fix="give task.quantiles a lower and an upper one, such as [0.05, 0.5, 0.95]",
            )
        self.place = None if level is None else levels.index(level)
        # Every instance counts the same, for torchmetrics shares the states of metrics that were
        # equal after the first batch.
        for name, shape in (("below", (len(levels),)), ("within", ()), ("count", ())):
            zeros = torch.zeros(shape, dtype=torch.int64)
            self.add_state(name, zeros, dist_reduce_fx="sum")

    def update(
        self, prediction: Tensor, target: Tensor, predicted_quantiles: Tensor | None = None
    ) -> None:
        """Count a batch.

        Args:
            prediction: Not looked at.
            target: Shape ``(...)``.
            predicted_quantiles: Shape ``(..., Q)``, rising, in the target's unit; given by tasks
                that predict quantiles.
        Raises:
            ConfigError: the task predicts none.
        """
        if predicted_quantiles is None:
            raise ConfigError(
                "metric quantile_coverage needs predicted quantiles, and the task gives none",
                fix="set task.quantiles, such as [0.05, 0.5, 0.95], with the loss quantile",
            )
        is_below = target.unsqueeze(-1) <= predicted_quantiles
        lowest, highest = predicted_quantiles[..., 0], predicted_quantiles[..., -1]
        self.below = self.below + is_below.flatten(0, -2).sum(dim=0)
        self.within = self.within + ((lowest <= target) & (target <= highest)).sum()
        self.count = self.count + target.numel()

    def compute(self) -> Tensor:
        """The share; NaN when there are no targets."""
        found = self.within if self.place is None else self.below[self.place]
        return found / self.count
