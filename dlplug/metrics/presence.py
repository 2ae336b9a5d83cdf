"""What the ranking metrics share: a mean over the classes that can be judged."""

import warnings
from collections.abc import Callable

from torch import Tensor


def mean_over_present(compute: Callable[[], Tensor], is_positive: Tensor) -> Tensor:
    """The mean of a metric over the classes that have both positive and negative records.

    torchmetrics 1.9 gives a class without positives the value 0, with a warning, and takes it into
    the mean: a small validation split without the rarest class would look like a bad model.

    Args:
        compute: Gives the value of each class, ``(C,)``.
        is_positive: Which records are of which class, ``(N, C)`` bool.
    Returns:
        Scalar; NaN where no class can be judged.
    """
    share = is_positive.float().mean(dim=0)
    is_present = (share > 0) & (share < 1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No (positive|negative) samples")
        warnings.filterwarnings("ignore", message="Average precision score for one or more")
        values = compute()
    return values[is_present.to(values.device)].mean()
