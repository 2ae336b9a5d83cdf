"""Which training records an epoch sees, and how often."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch.utils.data.distributed import DistributedSampler

from dlplug.errors import DataError

SAMPLINGS = ("uniform", "balanced", "weighted")
# Records that torch.multinomial takes, at most.
MOST = 2**24


class WeightedSampler(DistributedSampler):
    """As many draws with replacement as there are records; the order follows from seed and epoch.

    A `DistributedSampler`, because Lightning replaces any other sampler when there are several
    processes: all draw the same sequence, and each takes its share.

    Args:
        dataset: Map-style data set.
        weights: Of its records, shape ``(n,)``; they need not add up to 1.
        num_replicas: Number of processes.
        rank: Number of this process.
        seed: Of the training.
    """

    def __init__(self, dataset: Dataset, weights: Tensor, num_replicas: int, rank: int, seed: int):
        super().__init__(dataset, num_replicas, rank, shuffle=True, seed=seed)
        self.weights = weights.double()

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        drawn = draw(self.weights, self.total_size, generator)
        return iter(drawn[self.rank :: self.num_replicas].tolist())


def draw(weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Positions drawn with replacement, each by its weight; shape ``(count,)`` int64.

    Args:
        weights: Shape ``(n,)`` float64, not all 0; they need not add up to 1.
        count: Number of draws.
        generator: From which they follow.
    """
    if len(weights) <= MOST:
        return torch.multinomial(weights, count, True, generator=generator)
    ends = weights.cumsum(dim=0)
    places = torch.rand(count, dtype=torch.float64, generator=generator) * ends[-1]
    # The first one that ends behind the place, which none of weight 0 is.
    return torch.searchsorted(ends, places, right=True)


def record_weights(dataset: Dataset, sampling: str) -> Tensor | None:
    """How often each record is drawn, relative to the others; None when each comes once.

    Args:
        dataset: With ``labels`` ``(n,)`` for ``balanced``, ``weights`` ``(n,)`` for ``weighted``.
        sampling: One of `SAMPLINGS`.
    Raises:
        DataError: the data set has no classes, or no weights.
    """
    if sampling == "uniform":
        return None
    if sampling == "balanced":
        labels = getattr(dataset, "labels", None)
        if labels is None or labels.ndim != 1 or labels.is_floating_point():
            raise DataError("data: sampling = 'balanced' needs one class for each record")
        counts = torch.bincount(labels).clamp(min=1)
        return 1.0 / counts[labels]
    weights = getattr(dataset, "weights", None)
    if weights is None:
        raise DataError("data: sampling = 'weighted' needs weights, and these records have none")
    if not bool((weights >= 0).all()) or not float(weights.sum()) > 0:
        raise DataError("data: the records' weights must be 0 or more, and not all 0")
    return weights
