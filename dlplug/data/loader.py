"""Data loaders whose order is a function of seed and epoch, and whose position can be saved."""

import warnings

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch.utils.data.distributed import DistributedSampler

from dlplug.data.salvage import SalvagingLoader
from dlplug.data.sampling import WeightedSampler
from dlplug.errors import DataError


def as_is(batch):
    """Collate nothing: the data sets give whole batches."""
    return batch


class SeededLoader(SalvagingLoader):
    """One whose workers' seeds follow from seed and epoch, as the order of the records does.

    Each pass draws a seed for them; a resumed training would draw the first one again.
    """

    def _get_iterator(self):
        # For predictions, Lightning puts in a sampler of its own.
        if isinstance(self.sampler, DistributedSampler):
            self.generator.manual_seed(self.sampler.seed + self.sampler.epoch)
        return super()._get_iterator()


class OnceSampler(DistributedSampler):
    """Every record exactly once, over all processes together, in order.

    torch's own sampler repeats records until all processes have the same number, which counts some
    records twice in every metric.
    """

    def __init__(self, dataset: Dataset, num_replicas: int, rank: int):
        super().__init__(dataset, num_replicas, rank, shuffle=False)
        self.num_samples = len(range(rank, len(dataset), num_replicas))

    def __iter__(self):
        return iter(range(self.rank, len(self.dataset), self.num_replicas))


def training_loader(
    dataset: Dataset,
    batch_size: int,
    *,
    num_workers: int,
    seed: int,
    epoch: int,
    rank: int,
    world_size: int,
    weights: Tensor | None = None,
    pin_memory: bool = False,
) -> SalvagingLoader:
    """Shuffled batches of this process's share; the order follows from ``(seed, epoch)`` alone.

    The global random state takes no part: it makes no difference how often a loader is built or
    looked into before the training, nor how many workers there are.

    Args:
        dataset: Map-style data set.
        batch_size: Records per batch of each process.
        num_workers: Processes that read ahead; 0 reads in this one.
        seed: Of the training.
        epoch: In which the loader starts; Lightning sets the later ones.
        rank: Number of this process.
        world_size: Number of processes.
        weights: Draw the records by these, shape ``(n,)``; None to take each once.
        pin_memory: Put batches where a GPU can fetch them by itself.
    """
    # A DistributedSampler even for one process: Lightning replaces any other sampler when there
    # are several, and calls `set_epoch` on this one.
    if weights is None:
        sampler = DistributedSampler(dataset, world_size, rank, shuffle=True, seed=seed)
    else:
        sampler = WeightedSampler(dataset, weights, world_size, rank, seed)
    # Worker processes prefetch as soon as they start, which is before Lightning's first set_epoch.
    sampler.set_epoch(epoch)
    return _loader(dataset, batch_size, sampler, num_workers, seed, pin_memory)


def evaluation_loader(
    dataset: Dataset,
    batch_size: int,
    *,
    num_workers: int,
    rank: int,
    world_size: int,
    pin_memory: bool = False,
) -> SalvagingLoader:
    """Batches in order; every record is seen by exactly one process. Arguments as above.

    Raises:
        DataError: fewer records than processes.
    """
    if 0 < len(dataset) < world_size:
        raise DataError(
            f"{len(dataset)} records cannot be divided among {world_size} processes",
            fix="use fewer devices, or a larger validation_fraction or test_fraction",
        )
    batch_size = equal_batch_count(len(dataset), world_size, batch_size)
    sampler = OnceSampler(dataset, world_size, rank)
    return _loader(dataset, batch_size, sampler, num_workers, 0, pin_memory)


def equal_batch_count(num_records: int, world_size: int, batch_size: int) -> int:
    """A batch size near ``batch_size`` with which every process has equally many batches.

    Processes talk in every batch of a sharded model, so one batch more would wait for ever. Shares
    differ by one record at most; that adds a batch only where the size divides the smaller share.
    """
    smaller, remainder = divmod(num_records, world_size)
    while remainder and smaller and smaller % batch_size == 0:
        batch_size += 1
    return batch_size


def _loader(dataset, batch_size, sampler, num_workers, seed, pin_memory) -> SalvagingLoader:
    with warnings.catch_warnings():
        # torchdata 0.11 calls torch.set_vital, which torch 2.13 deprecates.
        warnings.filterwarnings("ignore", message="'set_vital' is deprecated")
        return SeededLoader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=num_workers,
            collate_fn=as_is,
            pin_memory=pin_memory,
            # Without its own generator each iterator draws from the global one.
            generator=torch.Generator().manual_seed(seed),
        )
