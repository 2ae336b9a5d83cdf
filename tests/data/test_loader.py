"""Loaders: an order that follows from seed and epoch, every evaluation record exactly once."""

import pytest
import torch

from dlplug.data.loader import equal_batch_count, evaluation_loader, training_loader
from dlplug.data.records import Records
from dlplug.errors import DataError


def records(count):
    """Record i holds (2i, 2i + 1) and the label 10i."""
    inputs = torch.arange(2 * count, dtype=torch.float32).view(-1, 2)
    return Records(inputs, torch.arange(count) * 10, torch.arange(count))


def train(dataset, epoch=0, seed=0, num_workers=0, rank=0, world_size=1):
    return training_loader(
        dataset,
        4,
        num_workers=num_workers,
        seed=seed,
        epoch=epoch,
        rank=rank,
        world_size=world_size,
    )


def order(loader):
    return [int(x[0]) // 2 for inputs, _ in loader for x in inputs]


def test_batches_hold_the_right_records():
    """Inputs and labels of a batch belong together."""
    for inputs, labels in train(records(10)):
        assert inputs.shape == (len(labels), 2)
        assert torch.equal(inputs[:, 0] * 5, labels.float())


def test_a_subset_reads_its_own_records():
    """Positions go through the indices, one at a time and as a batch."""
    subset = Records(torch.arange(10.0), torch.arange(10) * 10, torch.tensor([7, 3]))
    assert [x.item() for x in subset[1]] == [3, 30]
    assert [x.tolist() for x in subset.__getitems__([1, 0])] == [[3.0, 7.0], [30, 70]]
    assert len(subset) == 2


def test_the_order_follows_from_seed_and_epoch():
    """Equal seeds and epochs give equal orders; other ones give others."""
    data = records(20)
    assert order(train(data)) == order(train(data))
    assert order(train(data)) != order(train(data, epoch=1))
    assert order(train(data)) != order(train(data, seed=1))
    assert sorted(order(train(data))) == list(range(20))


def test_a_later_epoch_is_the_same_however_it_is_reached():
    """set_epoch(1) on a used loader and a loader made for epoch 1 give the same order."""
    loader = train(records(20))
    list(loader)
    loader.sampler.set_epoch(1)
    assert order(loader) == order(train(records(20), epoch=1))


def test_looking_into_a_loader_leaves_the_global_random_state():
    """A first batch may be taken before the training without changing it."""
    state = torch.get_rng_state()
    next(iter(train(records(20))))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loader_goes_on_where_it_was(num_workers):
    """After a state is loaded, exactly the rest of the epoch comes, in order."""
    loader = train(records(20), num_workers=num_workers)
    iterator = iter(loader)
    seen = [next(iterator)[0][:, 0] for _ in range(2)]
    state = loader.state_dict()
    rest = [inputs[:, 0] for inputs, _ in iterator]
    resumed = train(records(20), num_workers=num_workers)
    resumed.load_state_dict(state)
    again = [inputs[:, 0] for inputs, _ in resumed]
    assert torch.equal(torch.cat(rest), torch.cat(again))
    assert len(torch.cat(seen + again).unique()) == 20


@pytest.mark.parametrize("count", [8, 9, 10, 11, 13, 16, 17])
@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_see_every_record_once_in_equally_many_batches(count, world_size):
    """No record is counted twice, and no process waits for another's extra batch."""
    loaders = [
        evaluation_loader(records(count), 4, num_workers=0, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    parts = [[inputs[:, 0] for inputs, _ in loader] for loader in loaders]
    assert len({len(part) for part in parts}) == 1
    assert {len(loader) for loader in loaders} == {len(parts[0])}
    seen = sorted(int(x) // 2 for part in parts for inputs in part for x in inputs)
    assert seen == list(range(count))


def test_the_batch_size_is_kept_where_it_can_be():
    """Only a size that divides the smaller share changes, by one."""
    assert equal_batch_count(16, 2, 4) == 4
    assert equal_batch_count(15, 2, 4) == 4
    assert equal_batch_count(17, 2, 4) == 5
    assert equal_batch_count(17, 1, 4) == 4


def test_fewer_records_than_processes_are_an_error():
    """The message says how many records and processes there are."""
    with pytest.raises(DataError, match="2 records cannot be divided among 3 processes"):
        evaluation_loader(records(2), 4, num_workers=0, rank=0, world_size=3)


class WorkerSeeds(torch.utils.data.Dataset):
    """Each record is the seed of the worker that reads it."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return torch.initial_seed()


def test_the_workers_seeds_follow_from_seed_and_epoch():
    """What a data set draws in its workers is the same in an epoch that is begun anew."""
    loader = train(WorkerSeeds(), num_workers=1)
    first = next(iter(loader))
    loader.sampler.set_epoch(1)
    second = next(iter(loader))
    assert second == next(iter(train(WorkerSeeds(), epoch=1, num_workers=1)))
    assert first == next(iter(train(WorkerSeeds(), num_workers=1))) != second
    assert first != next(iter(train(WorkerSeeds(), seed=1, num_workers=1)))
