"""stratified_split: the same shares of each class, the same records in every run."""

import pytest
import torch

from dlplug.data.split import position_split, stratified_split
from dlplug.errors import InvalidValueError

LABELS = torch.tensor([0] * 50 + [1] * 30 + [2] * 20)


def test_every_record_is_in_exactly_one_split():
    """The splits cover all records and do not overlap."""
    splits = stratified_split(LABELS, 0.1, 0.2, seed=0)
    assert torch.cat(list(splits.values())).sort().values.tolist() == list(range(100))


def test_each_class_has_its_share():
    """10 % and 20 % of each class, whatever its size."""
    splits = stratified_split(LABELS, 0.1, 0.2, seed=0)
    counts = {name: LABELS[indices].bincount().tolist() for name, indices in splits.items()}
    assert counts == {"train": [35, 21, 14], "validation": [5, 3, 2], "test": [10, 6, 4]}


def test_the_split_depends_on_its_own_seed_alone():
    """The global seed changes nothing; another split seed gives another split."""
    first = stratified_split(LABELS, 0.1, 0.2, seed=0)
    torch.manual_seed(123)
    second = stratified_split(LABELS, 0.1, 0.2, seed=0)
    other = stratified_split(LABELS, 0.1, 0.2, seed=1)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["test"], other["test"])


def test_the_split_is_frozen():
    """Recorded once: results of different versions are compared on the same records."""
    splits = stratified_split(LABELS, 0.1, 0.2, seed=0)
    assert splits["test"].tolist() == [
        4, 18, 22, 26, 27, 31, 33, 34, 35, 38, 52, 61, 62, 69, 72, 78, 80, 81, 85, 87,
    ]  # fmt: skip


@pytest.mark.parametrize(("validation", "test"), [(0.5, 0.5), (1.0, 0.0), (-0.1, 0.2), (0, 1.2)])
def test_fractions_must_leave_training_records(validation, test):
    """Shares that leave nothing, or are none, are refused."""
    with pytest.raises(InvalidValueError):
        stratified_split(LABELS, validation, test, seed=0)


def test_a_fraction_of_zero_gives_an_empty_split():
    """Without a validation split there are no validation records."""
    assert len(stratified_split(LABELS, 0.0, 0.2, seed=0)["validation"]) == 0


@pytest.mark.parametrize(("size", "sizes"), [
    (2, {"train": 140, "validation": 20, "test": 40}),
    (4, {"train": 260, "validation": 40, "test": 100}),
    (5, {"train": 350, "validation": 50, "test": 100}),
])  # fmt: skip
def test_classes_too_small_for_a_share_have_one_together(size, sizes):
    """0.1 of 2 or 4 records is 0 of each class: some of the classes give one record."""
    labels = torch.arange(100).repeat(size)
    splits = stratified_split(labels, 0.1, 0.2, seed=0)
    assert {name: len(rows) for name, rows in splits.items()} == sizes
    assert torch.cat(list(splits.values())).sort().values.tolist() == list(range(100 * size))
    assert set(labels[splits["train"]].tolist()) == set(range(100)), "each class is learned"
    validation = labels[splits["validation"]].bincount(minlength=100)
    assert validation.max() == 1 and validation[:50].any() and validation[50:].any()
    other = stratified_split(labels, 0.1, 0.2, seed=1)
    assert not torch.equal(splits["validation"], other["validation"])


def test_a_part_that_has_records_stays_as_it_was():
    """The records of the test are those of versions that left the validation empty."""
    labels = torch.arange(100).repeat(4)
    splits = stratified_split(labels, 0.1, 0.2, seed=0)
    assert torch.equal(splits["test"], stratified_split(labels, 0.0, 0.2, seed=0)["test"])


def test_the_largest_classes_give_first_and_none_its_last():
    """Six classes of one record each, one of four and one of three: 13 records, of which 2 are
    asked for."""
    labels = torch.tensor([*range(6), 6, 6, 6, 6, 7, 7, 7])
    for seed in range(9):
        splits = stratified_split(labels, 0.12, 0.0, seed)
        assert sorted(labels[splits["validation"]].tolist()) == [6, 7]
    alone = stratified_split(torch.arange(20), 0.1, 0.2, seed=0)
    assert {name: len(rows) for name, rows in alone.items()} == {
        "train": 20,
        "validation": 0,
        "test": 0,
    }


def test_positions_are_divided_in_order():
    """First train, last test; a share of 0 is empty."""
    parts = position_split(10, 0.1, 0.2)
    assert parts == {"train": range(7), "validation": range(7, 8), "test": range(8, 10)}
    assert position_split(10, 0.0, 0.0)["train"] == range(10)
    with pytest.raises(InvalidValueError, match="leave nothing to train on"):
        position_split(10, 0.5, 0.5)
