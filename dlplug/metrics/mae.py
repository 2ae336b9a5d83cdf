"""Mean absolute error."""

from torchmetrics import MeanAbsoluteError


class MAE(MeanAbsoluteError):
    """Mean over records and targets of |prediction - target|, in the target's unit."""

    def __init__(self):
        super().__init__()
