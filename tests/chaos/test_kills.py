"""kill -9 of trainings, the quick set, and the instruments with which it sees a difference."""

import copy

import pytest
import torch

from tests.chaos import journal, kills
from tests.chaos.fingerprint import difference, digest
from tests.chaos.killing import Kill, losses


@pytest.mark.slow
def test_a_killed_training_ends_with_the_bits_of_an_undisturbed_one(tmp_path):
    """One kill with loader workers and one without; both trainings go on where they were saved."""
    outcome = kills.inject(2, tmp_path)
    assert outcome.injected == outcome.contained == 2, outcome.measured
    assert sum(v for k, v in outcome.measured.items() if k.startswith("kills in ")) == 2


def test_every_bit_is_seen():
    """A last bit, a type, a shape, a key, an order: each of them changes the hash."""
    value = {"weights": torch.arange(6.0).reshape(2, 3), "steps": [1, 2.0, "x", None, True]}
    assert digest(copy.deepcopy(value)) == digest(value)
    weights = value["weights"]
    last_bit = torch.nextafter(weights, torch.tensor(float("inf")))
    changed = [
        value | {"weights": last_bit},
        value | {"weights": weights.reshape(3, 2)},
        value | {"weights": weights.int()},
        value | {"steps": [2.0, 1, "x", None, True]},
        value | {"steps": [1, 2, "x", None, True]},
        {"weights": weights, "epochs": value["steps"]},
    ]
    hashes = [digest(v) for v in [value, *changed]]
    assert len(set(hashes)) == len(hashes)


def test_a_hash_that_only_one_side_has_is_a_difference():
    """A missing file or key counts as well as a changed one."""
    assert difference({"a": "1", "b": "2"}, {"a": "1", "c": "2"}) == ["b", "c"]
    assert difference({"a": "1"}, {"a": "1"}) == []


def test_losses_are_counted_between_starts(tmp_path):
    """Steps between where a start begins and what was reached before; none without training."""
    lines = [("start-up", 0), ("resumed", 0), ("training", 9), ("start-up", 9)]
    lines += [("resumed", 7), ("training", 8), ("start-up", 9), ("start-up", 9)]
    lines += [("resumed", 7), ("test", 20), ("start-up", 20), ("test", 20)]
    for phase, step in lines:
        journal.write(journal.Line(phase, step, step), tmp_path)
    assert losses(tmp_path) == [2, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("lost", "unsettled", "is_cheap"), [(5, 0, True), (6, 0, False), (7, 2, True), (8, 2, False)]
)
def test_a_save_under_way_is_all_that_may_cost_more(lost, unsettled, is_cheap):
    """A kill loses one interval, and the steps that were taken while a save was not yet safe."""
    assert kills.is_cheap(Kill("training", lost, unsettled)) == is_cheap
