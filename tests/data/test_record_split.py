"""Divisions by chance, column, group and time."""

import numpy as np
import pytest
import torch

from dlplug.data.record_split import (
    column_split,
    group_split,
    random_split,
    time_split,
)
from dlplug.errors import InvalidValueError


def covers(parts, count):
    """Every record is in exactly one split."""
    return torch.cat(list(parts.values())).sort().values.tolist() == list(range(count))


def test_by_chance():
    """Exact shares; the same for the same seed, another for another."""
    parts = random_split(100, 0.1, 0.2, seed=0)
    assert covers(parts, 100) and {k: len(v) for k, v in parts.items()} == {
        "train": 70,
        "validation": 10,
        "test": 20,
    }
    assert torch.equal(parts["test"], random_split(100, 0.1, 0.2, seed=0)["test"])
    assert not torch.equal(parts["test"], random_split(100, 0.1, 0.2, seed=1)["test"])


def test_the_split_by_chance_is_frozen():
    """Recorded once: results of different versions are compared on the same records."""
    assert random_split(20, 0.1, 0.2, seed=0)["test"].tolist() == [8, 10, 17, 19]


def test_by_column():
    """Each record where it says."""
    parts = column_split(["train", "validation", "test", "train", "validation"])
    assert {k: v.tolist() for k, v in parts.items()} == {
        "train": [0, 3],
        "validation": [1, 4],
        "test": [2],
    }


def test_by_group():
    """No group is in two splits; more records of new groups move none of the old."""
    groups = [f"patient {i % 60}" for i in range(600)]
    parts = group_split(groups, 0.2, 0.2, seed=0)
    members = {name: {groups[i] for i in rows} for name, rows in parts.items()}
    assert covers(parts, 600)
    assert sum(map(len, members.values())) == len(set.union(*members.values())) == 60
    assert 5 <= len(members["test"]) <= 20
    more = group_split([*groups, *[f"new {i}" for i in range(50)]], 0.2, 0.2, seed=0)
    assert {groups[i] for i in more["test"] if i < 600} == members["test"]
    other = group_split(groups, 0.2, 0.2, seed=1)
    assert {groups[i] for i in other["test"]} != members["test"]


def test_by_time():
    """Whatever the order of the records, the latest are the test."""
    times = np.random.RandomState(0).permutation(100)
    parts = time_split(times, 0.1, 0.2)
    assert covers(parts, 100)
    assert sorted(times[parts["test"]]) == list(range(80, 100))
    assert sorted(times[parts["validation"]]) == list(range(70, 80))


def test_one_time_is_not_cut():
    """Records of the same day are all in one split, also when it is the border."""
    times = np.repeat(np.arange(10), 7)
    parts = time_split(times, 0.15, 0.15)
    days = [set(times[rows]) for rows in parts.values()]
    assert sum(map(len, days)) == 10 and covers(parts, 70)
    assert time_split(np.zeros(10), 0.1, 0.2)["train"].tolist() == list(range(10))


@pytest.mark.parametrize("split", [
    lambda: random_split(10, 0.5, 0.5, 0),
    lambda: group_split(["a"], 0.5, 0.5, 0),
    lambda: time_split(np.arange(10), 0.5, 0.5),
])  # fmt: skip
def test_fractions_must_leave_training_records(split):
    """As in every other division."""
    with pytest.raises(InvalidValueError, match="nothing to train on"):
        split()
