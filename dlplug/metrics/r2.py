"""Share of the targets' variance that the predictions explain."""

import torch
from torch import Tensor
from torchmetrics import Metric

# Rows of the state: records, mean of the targets, sums of squared deviations and of squared errors.
ROWS = 4


class R2(Metric):
    """1 - sum (target - prediction)^2 / sum (target - mean)^2, averaged over the targets.

    1 is perfect, 0 as good as always predicting the mean of the measured targets. Of targets that
    are all equal it is 1 where every prediction is right, else 0.
    """

    full_state_update = False
    higher_is_better = True

    def __init__(self):
        super().__init__()
        # As many columns as targets, from the first batch on.
        self.add_state("moments", torch.zeros(ROWS, 1), dist_reduce_fx=merged)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add a batch; both ``(B,)`` or ``(B, K)``.

        Raises:
            ValueError: they are of other shapes.
        """
        if preds.shape != target.shape or target.ndim not in (1, 2):
            raise ValueError(
                f"r2 compares (B,) or (B, K) of one shape, not {tuple(preds.shape)} with"
                f" {tuple(target.shape)}"
            )
        if not len(target):
            return
        preds, target = (values.double().view(len(values), -1) for values in (preds, target))
        # From the first record, not from 0: of targets far from 0 rounding would leave no variance.
        mean = target[0] + (target - target[0]).mean(0)
        squares = [(target - other).square().sum(0) for other in (mean, preds)]
        batch = torch.stack([torch.full_like(mean, len(target)), mean, *squares])
        before = self.moments.to(batch).expand_as(batch)
        self.moments = merged(torch.stack([before, batch]))

    def compute(self) -> Tensor:
        """Scalar; NaN for fewer than two records."""
        count, _, deviation, error = self.moments
        share = torch.where(deviation == 0, (error == 0).to(error), 1 - error / deviation)
        return torch.where(count < 2, torch.nan, share).mean()


def merged(parts: Tensor) -> Tensor:
    """The moments ``(4, K)`` of all records, from those of W parts, ``(W, 4, K)``.

    Source: Chan, Golub and LeVeque 1979, Updating formulae and a pairwise algorithm for computing
    sample variances, equation 2.1.
    """
    counts, means, deviations, errors = parts.unbind(1)
    count = counts.sum(0)
    # From a mean of one part, as in a batch; an empty part has none.
    origin = means[counts[:, 0].argmax()]
    mean = origin + (counts * (means - origin)).sum(0) / count.clamp(min=1)
    between = (counts * (means - mean).square()).sum(0)
    return torch.stack([count, mean, deviations.sum(0) + between, errors.sum(0)])
