"""Mean absolute scaled error of forecasts."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from dlplug.errors import InvalidValueError


class MASE(Metric):
    """Mean over records, steps and targets of |forecast - target| / naive error of the target.

    Below 1 where the forecasts are better than the last value was in the training records.

    Args:
        naive_error: Mean absolute error of the last value as the forecast, of each of K targets,
            in the training records; filled in from the data.
    Raises:
        InvalidValueError: one of them is not above 0.
    References: Hyndman and Koehler 2006, International Journal of Forecasting 22(4), section 3;
        they scale by the error of one step, this by that of as many steps as are forecast.
    """

    full_state_update = False
    higher_is_better = False

    def __init__(self, naive_error: Sequence[float]):
        super().__init__()
        if not naive_error or not all(error > 0 for error in naive_error):
            raise InvalidValueError(
                f"metric mase: naive_error = {list(naive_error)} is not above 0"
            )
        scale = torch.tensor(list(naive_error), dtype=torch.float64)
        self.register_buffer("scale", scale, persistent=False)
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, forecast: Tensor, target: Tensor) -> None:
        """Count forecasts and targets ``(..., K)`` in the original unit."""
        self.total = self.total + ((forecast - target).abs() / self.scale).sum()
        self.count = self.count + target.numel()

    def compute(self) -> Tensor:
        """The mean; NaN when there are no records."""
        return (self.total / self.count).float()
