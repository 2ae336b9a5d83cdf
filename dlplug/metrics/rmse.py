"""Root of the mean squared error."""

from torchmetrics import MeanSquaredError


class RMSE(MeanSquaredError):
    """Root of the mean over records and targets of (prediction - target)^2, in the target's unit.

    It is taken once over all records, not per batch; several targets are pooled.
    """

    def __init__(self):
        super().__init__(squared=False)
