"""Salvage: batches without their bad records, the same however they are read."""

import pytest
import torch
from torch.utils.data import Dataset

from dlplug.data.loader import evaluation_loader, training_loader
from dlplug.data.quarantine import Quarantine
from dlplug.data.salvage import Salvage
from dlplug.errors import DataError

COUNT = 24


class Numbers(Dataset):
    """Record i is the number i; some cannot be read.

    Args:
        bad: Which of them.
        error: What their reading raises.
    """

    def __init__(self, bad=(), error=None):
        self.bad = set(bad)
        self.error = error or ValueError("no such pixel")
        self.read = []

    def __len__(self):
        return COUNT

    def __getitems__(self, positions):
        self.read.append(list(positions))
        if self.bad & set(positions):
            raise self.error
        return torch.tensor(positions)


def training(dataset, share=0.5, num_workers=0, epoch=0, quarantine=None):
    if quarantine is None:
        quarantine = Quarantine(share)
        quarantine.loaded(COUNT)
    return training_loader(
        Salvage(dataset, "train", quarantine, is_training=True),
        4,
        num_workers=num_workers,
        seed=1,
        epoch=epoch,
        rank=0,
        world_size=1,
    )


def evaluation(dataset, share=0.5, num_workers=0, batch_size=4, can_skip=True):
    quarantine = Quarantine(share)
    quarantine.loaded(COUNT)
    salvage = Salvage(dataset, "validation", quarantine, is_training=False, can_skip=can_skip)
    return evaluation_loader(salvage, batch_size, num_workers=num_workers, rank=0, world_size=1)


def order(loader):
    return [batch.tolist() for batch in loader]


@pytest.mark.parametrize("num_workers", [0, 1, 2])
@pytest.mark.parametrize("bad", [[3], [3, 4, 5], [COUNT - 1], [0, 7, 8, COUNT - 1]])
def test_the_next_good_record_takes_the_place_of_a_bad_one(bad, num_workers):
    """All others stay in their places, whoever reads; behind the last one comes the first."""
    following = {
        p: next(q % COUNT for q in range(p, p + COUNT) if q % COUNT not in bad)
        for p in range(COUNT)
    }
    expected = [[following[p] for p in batch] for batch in order(training(Numbers()))]
    for epoch in (0, 1):
        clean = order(training(Numbers(), epoch=epoch))
        expected = [[following[p] for p in batch] for batch in clean]
        assert order(training(Numbers(bad), num_workers=num_workers, epoch=epoch)) == expected


def test_good_batches_are_read_once():
    """Where nothing is bad, nothing is added."""
    dataset = Numbers()
    loader = training(dataset)
    assert order(loader) == dataset.read


def test_a_known_bad_record_is_not_read_again():
    """In a second epoch every batch is read once, without it."""
    dataset = Numbers([3])
    loader = training(dataset)
    order(loader)
    dataset.read.clear()
    second = order(loader)
    assert dataset.read == second
    assert all(3 not in batch for batch in second)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_position_is_saved_and_loaded_with_bad_records(num_workers):
    """A resumed epoch has exactly the rest, though nobody knows any more what was bad."""
    dataset = Numbers([2, 3, 9, 17])
    loader = training(dataset, num_workers=num_workers)
    iterator = iter(loader)
    for _ in range(2):
        next(iterator)
    state = loader.state_dict()
    rest = order(iterator)
    resumed = training(Numbers([2, 3, 9, 17]), num_workers=num_workers)
    resumed.load_state_dict(state)
    assert order(resumed) == rest


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_evaluation_leaves_bad_records_out(num_workers):
    """No record is seen twice; a batch of bad records alone is left out."""
    bad = [1, 8, 9, 10, 11, 23]
    seen = order(evaluation(Numbers(bad), num_workers=num_workers))
    assert [row for part in seen for row in part] == [p for p in range(COUNT) if p not in bad]
    assert [len(batch) for batch in seen] == [3, 4, 4, 4, 3]


def test_where_processes_make_equal_steps_no_batch_may_be_missing():
    """An error that says so, instead of processes that wait for each other for ever."""
    loader = evaluation(Numbers([8, 9, 10, 11]), can_skip=False)
    with pytest.raises(DataError, match="all records of one batch of the validation split") as e:
        order(loader)
    assert "set data.batch_size higher" in str(e.value)
    # They are known by now, and the same holds.
    with pytest.raises(DataError, match="all records of one batch"):
        order(loader)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_without_a_share_the_error_names_the_record(num_workers):
    """Position, split, kind of exception and place in the code; no report of a worker process."""
    with pytest.raises(DataError) as error:
        order(training(Numbers([5]), share=0.0, num_workers=num_workers))
    text = str(error.value)
    assert text.startswith(
        "record 5 of the train split cannot be read: ValueError: no such pixel\n  where: "
    )
    assert "test_salvage.py, line" in text and "in __getitems__" in text


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_that_names_the_record_stays_as_it_is(num_workers):
    """A DataError of the data set says file and row already."""
    error = DataError("a.png cannot be read", fix="repair it")
    with pytest.raises(DataError) as raised:
        order(training(Numbers([5], error), share=0.0, num_workers=num_workers))
    assert str(raised.value) == str(error)


def test_the_name_of_a_record_is_told():
    """Where the data set has names."""
    dataset = Numbers([5])
    dataset.names = [f"{i}.png" for i in range(COUNT)]
    with pytest.raises(DataError, match=r"^record 5 \(5.png\) of the train split"):
        order(training(dataset, share=0.0))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_too_many_bad_records_end_the_training(num_workers):
    """Also where nothing at all can be read: the error comes soon."""
    dataset = Numbers(range(COUNT))
    with pytest.raises(DataError, match=r"records are bad, and data.quarantine = 0\.1 allows 2"):
        order(training(dataset, share=0.1, num_workers=num_workers))
    assert len(dataset.read) < COUNT


def test_records_that_do_not_fit_together_are_no_bad_records():
    """When each can be read by itself, the data set's own error is raised."""

    class Apart(Numbers):
        def __getitems__(self, positions):
            if len(positions) > 1:
                raise RuntimeError("stack expects each tensor to be equal size")
            return torch.tensor(positions)

    with pytest.raises(RuntimeError, match="equal size"):
        order(training(Apart()))


def test_a_lack_of_memory_is_no_bad_record():
    """It is raised, and nothing is set aside."""
    quarantine = Quarantine(0.5)
    quarantine.loaded(COUNT)
    with pytest.raises(MemoryError):
        order(training(Numbers([5], MemoryError()), quarantine=quarantine))

    class Scarce(Numbers):
        def __getitems__(self, positions):
            raise MemoryError if len(positions) == 1 else ValueError

    with pytest.raises(MemoryError):
        order(training(Scarce(), quarantine=quarantine))
    assert len(quarantine) == 0


def test_what_other_processes_met_counts_in_the_next_epoch():
    """Together they may not have more bad records than one alone."""
    quarantine = Quarantine(0.1)
    quarantine.loaded(COUNT)
    loader = training(Numbers([5]), quarantine=quarantine)
    order(loader)
    quarantine.merge({"split": "train", "record": p, "reason": f"{p}"} for p in (6, 7))
    with pytest.raises(DataError, match="3 of 24 records are bad"):
        next(iter(loader))
