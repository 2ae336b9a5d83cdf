"""Weighted and balanced sampling of training records."""

import pytest
import torch

from dlplug.data import sampling
from dlplug.data.records import Records
from dlplug.data.sampling import WeightedSampler, draw, record_weights
from dlplug.errors import DataError

LABELS = torch.tensor([0] * 90 + [1] * 10)


def records(**arguments):
    return Records(torch.arange(100.0)[:, None], LABELS, **arguments)


def test_balanced_classes_are_equally_frequent():
    """The class of a tenth of the records makes up half of what is drawn."""
    data = records()
    sampler = WeightedSampler(data, record_weights(data, "balanced"), 1, 0, seed=0)
    shares = []
    for epoch in range(50):
        sampler.set_epoch(epoch)
        shares.append(float(LABELS[list(sampler)].float().mean()))
    # 5,000 draws: a standard deviation of 0.007.
    assert abs(sum(shares) / 50 - 0.5) < 0.03


def test_the_order_follows_from_seed_and_epoch_and_the_processes_share_it():
    """The same draws every time; two processes take every second one each."""
    data = records()
    weights = record_weights(data, "balanced")

    def drawn(seed=1, epoch=0, rank=0, size=1):
        sampler = WeightedSampler(data, weights, size, rank, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert drawn() == drawn() != drawn(epoch=1) != drawn(seed=7)
    whole, parts = drawn(), [drawn(rank=r, size=2) for r in range(2)]
    assert parts[0] == whole[0::2] and parts[1] == whole[1::2]


def test_weights_are_the_records_own():
    """A record of weight 0 never comes; a subset has the weights of its records."""
    weights = torch.ones(100)
    weights[:50] = 0
    data = records(weights=weights, indices=torch.arange(25, 75))
    found = record_weights(data, "weighted")
    assert found.tolist() == [0.0] * 25 + [1.0] * 25
    assert min(WeightedSampler(data, found, 1, 0, seed=0)) >= 25


@pytest.mark.parametrize(
    ("data", "sampling", "message"),
    [
        (Records(torch.zeros(3, 1), torch.zeros(3, 2)), "balanced", "needs one class"),
        (records(), "weighted", "these records have none"),
        (records(weights=torch.zeros(100)), "weighted", "not all 0"),
        (records(weights=-torch.ones(100)), "weighted", "must be 0 or more"),
    ],
)
def test_records_without_what_it_takes_are_refused(data, sampling, message):
    """No classes, no weights, or weights that cannot be."""
    with pytest.raises(DataError, match=message):
        record_weights(data, sampling)


@pytest.mark.parametrize("limit", [3, sampling.MOST])
def test_records_come_by_their_weights(monkeypatch, limit):
    """However many there are; those of weight 0 never, at either end and in the middle."""
    monkeypatch.setattr(sampling, "MOST", limit)
    weights = torch.tensor([0.0, 1.0, 0.0, 3.0, 4.0, 0.0], dtype=torch.float64)
    drawn = draw(weights, 80_000, torch.Generator().manual_seed(0))
    shares = drawn.bincount(minlength=6) / 80_000
    assert shares[weights == 0].sum() == 0
    # The largest standard deviation is 0.0018.
    torch.testing.assert_close(shares.double(), weights / 8, atol=0.01, rtol=0)


def test_more_records_than_torch_draws_from():
    """Its limit is 2^24; the last of one more is as likely as any."""
    count = 2**24 + 1
    weights = torch.zeros(count, dtype=torch.float64)
    weights[[7, -1]] = 1.0
    drawn = draw(weights, 100, torch.Generator().manual_seed(0))
    assert set(drawn.tolist()) == {7, count - 1}
