"""Divisions of records into train, validation and test: by chance, column, group or time.

Each gives the positions of its records, ascending, under ``train``, ``validation`` and ``test``.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dlplug.data.split import SPLIT_NAMES, check_fractions


def random_split(
    count: int, validation_fraction: float, test_fraction: float, seed: int
) -> dict[str, Tensor]:
    """Each record by chance.

    Args:
        count: Number of records.
        validation_fraction: Share of them kept for validation.
        test_fraction: Share of them kept for the test.
        seed: Of the division; another one gives other splits.
    Raises:
        InvalidValueError: the fractions leave nothing to train on.
    """
    check_fractions(validation_fraction, test_fraction)
    # RandomState's stream is frozen by numpy's compatibility policy.
    order = torch.from_numpy(np.random.RandomState(seed).permutation(count)).long()
    return _cut(order, round(count * validation_fraction), round(count * test_fraction))


def column_split(splits: Sequence[str]) -> dict[str, Tensor]:
    """As each record says.

    Args:
        splits: ``train``, ``validation`` or ``test``, of each record.
    """
    array = np.array(splits)
    return {name: torch.from_numpy(np.flatnonzero(array == name)) for name in SPLIT_NAMES}


def group_split(
    groups: Sequence[str], validation_fraction: float, test_fraction: float, seed: int
) -> dict[str, Tensor]:
    """All records of a group, such as a patient or a shop, into the same split.

    A hash of its name and the seed decides for each group, so new records or groups move no old
    one. The shares are those of the groups, and hold roughly.

    Args:
        groups: Of each record.
        validation_fraction: Share of the groups kept for validation.
        test_fraction: Share of the groups kept for the test.
        seed: Of the division.
    Raises:
        InvalidValueError: the fractions leave nothing to train on.
    """
    check_fractions(validation_fraction, test_fraction)
    place_of = {group: _unit(f"{seed}:{group}") for group in set(groups)}
    place = np.array([place_of[group] for group in groups])
    is_validation = place < validation_fraction
    is_test = ~is_validation & (place < validation_fraction + test_fraction)
    masks = {"train": ~is_validation & ~is_test, "validation": is_validation, "test": is_test}
    return {name: torch.from_numpy(np.flatnonzero(mask)) for name, mask in masks.items()}


def time_split(
    times: np.ndarray, validation_fraction: float, test_fraction: float
) -> dict[str, Tensor]:
    """The earliest records to train, the latest to test.

    Records of one time all go to the same split, so that none is known from its twin: a split
    may be a little smaller than its share.

    Args:
        times: Of each record, shape ``(N,)``, anything that can be sorted.
        validation_fraction: Share of the records kept for validation.
        test_fraction: Share of the records kept for the test.
    Raises:
        InvalidValueError: the fractions leave nothing to train on.
    """
    check_fractions(validation_fraction, test_fraction)
    ranks = np.unique(times, return_inverse=True)[1]
    count, ordered = len(ranks), np.sort(ranks)
    num_test = round(count * test_fraction)
    num_validation = round(count * validation_fraction)
    # The first rank that is wholly within the last records.
    first_test = _first_whole(ordered, count - num_test)
    first_validation = min(_first_whole(ordered, count - num_test - num_validation), first_test)
    masks = {
        "train": ranks < first_validation,
        "validation": (ranks >= first_validation) & (ranks < first_test),
        "test": ranks >= first_test,
    }
    return {name: torch.from_numpy(np.flatnonzero(mask)) for name, mask in masks.items()}


def _first_whole(ordered: np.ndarray, position: int) -> int:
    if position >= len(ordered):
        return int(ordered[-1]) + 1 if len(ordered) else 0
    rank = int(ordered[position])
    is_cut = position > 0 and ordered[position - 1] == rank
    return rank + 1 if is_cut else rank


def _unit(text: str) -> float:
    """A number in [0, 1) that follows from the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") / 2**56


def _cut(order: Tensor, num_validation: int, num_test: int) -> dict[str, Tensor]:
    parts = {
        "validation": order[:num_validation],
        "test": order[num_validation : num_validation + num_test],
        "train": order[num_validation + num_test :],
    }
    return {name: part.sort().values for name, part in parts.items()}
