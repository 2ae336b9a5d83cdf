"""Division of labelled records into train, validation and test, the same in every run."""

import numpy as np
import torch
from torch import Tensor

from dlplug.errors import InvalidValueError

# What people call the splits, in a column, a folder or a set of tables.
SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
SPLITS = tuple(SPLIT_NAMES)


def stratified_split(
    labels: Tensor, validation_fraction: float, test_fraction: float, seed: int
) -> dict[str, Tensor]:
    """Divide the records so that each class has the same shares everywhere.

    Where a share is less than half a record of every class, those with most records give one each,
    until the share is that of all records together; none gives its last one.

    Depends on the labels and ``seed`` alone, never on the seed of the training: two trainings that
    differ in their seed are compared on the same test records.

    Args:
        labels: Class of each record, shape ``(N,)``, integer.
        validation_fraction: Share of each class kept for validation.
        test_fraction: Share of each class kept for the test.
        seed: Which records go where.
    Returns:
        Sorted record indices under ``train``, ``validation`` and ``test``, int64.
    Raises:
        InvalidValueError: the fractions leave nothing to train on.
    """
    check_fractions(validation_fraction, test_fraction)
    # RandomState's stream is frozen by numpy's compatibility policy; newer generators' is not.
    random = np.random.RandomState(seed)
    parts: dict[str, list[Tensor]] = {"train": [], "validation": [], "test": []}
    for label in labels.unique():
        records = torch.nonzero(labels == label).squeeze(1)
        records = records[torch.from_numpy(random.permutation(len(records)))]
        num_validation = round(len(records) * validation_fraction)
        num_test = round(len(records) * test_fraction)
        parts["validation"].append(records[:num_validation])
        parts["test"].append(records[num_validation : num_validation + num_test])
        parts["train"].append(records[num_validation + num_test :])
    for name, fraction in (("validation", validation_fraction), ("test", test_fraction)):
        if fraction and not any(map(len, parts[name])):
            _fill(parts, name, round(len(labels) * fraction), random)
    return {name: torch.cat(indices).sort().values for name, indices in parts.items()}


def _fill(
    parts: dict[str, list[Tensor]], name: str, count: int, random: np.random.RandomState
) -> None:
    """Move up to ``count`` training records of different classes into an empty part."""
    sizes = np.array([len(records) for records in parts["train"]])
    # By chance among classes of one size, and all records that had a part keep it.
    order = random.permutation(len(sizes))
    for i in order[np.argsort(-sizes[order], kind="stable")][:count]:
        if sizes[i] > 1:
            records = parts["train"][i]
            parts["train"][i], parts[name][i] = records[:-1], records[-1:]


def position_split(
    count: int, validation_fraction: float, test_fraction: float
) -> dict[str, range]:
    """Divide what is in an order, such as a text or a series: first train, last test.

    What comes later never helps to predict what comes before it.

    Args:
        count: Number of positions.
        validation_fraction: Share of them kept for validation.
        test_fraction: Share of them kept for the test.
    Returns:
        Positions under ``train``, ``validation`` and ``test``.
    Raises:
        InvalidValueError: the fractions leave nothing to train on.
    """
    check_fractions(validation_fraction, test_fraction)
    test = count - round(count * test_fraction)
    validation = test - round(count * validation_fraction)
    return {
        "train": range(validation),
        "validation": range(validation, test),
        "test": range(test, count),
    }


def check_fractions(validation_fraction: float, test_fraction: float) -> None:
    """Both are shares, and leave something to train on.

    Raises:
        InvalidValueError: they do not.
    """
    fractions = {"validation": validation_fraction, "test": test_fraction}
    for name, fraction in fractions.items():
        if not 0 <= fraction < 1:
            raise InvalidValueError(f"data.{name}_fraction = {fraction} is not in [0, 1)")
    if validation_fraction + test_fraction >= 1:
        raise InvalidValueError(
            f"data: validation_fraction = {validation_fraction} and test_fraction = {test_fraction}"
            " leave nothing to train on",
            fix="let them add up to less than 1",
        )
