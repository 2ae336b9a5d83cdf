"""Warnings about columns that promise too much or nothing."""

import warnings
from collections.abc import Sequence

import numpy as np
import pyarrow.compute as pc

from dlplug.data.tables.columns import Columns
from dlplug.data.tables.preparation import Preparation


def warn_of_leaks(columns: Columns, features: Preparation, targets: Sequence[str]) -> None:
    """Warn of features that equal a target, and of those that are the same in every record.

    Args:
        columns: Of the file.
        features: What the model gets.
        targets: Names of the target columns.
    """
    names = [column.name for column in (*features.numbers, *features.categories)]
    words = {name: pc.fill_null(columns.words(name), "") for name in targets}
    leaks = [
        f"{name!r} equals the target {target!r}"
        for name in names
        for target, column in words.items()
        if pc.all(pc.equal(pc.fill_null(columns.words(name), ""), column)).as_py()
    ]
    constant = [column.name for column in features.numbers if _is_constant(columns, column.name)]
    constant += [column.name for column in features.categories if column.num_values < 2]
    if "" in names:
        warnings.warn(
            f"{columns.source.name}: a column without a name is taken as a feature; if it numbers"
            " the rows, leave it out with data.ignore: ['']",
            stacklevel=2,
        )
    if leaks:
        warnings.warn(
            f"{columns.source.name}: column {'; '.join(leaks)}. A model that sees the answer learns"
            " nothing else: name it in data.ignore",
            stacklevel=2,
        )
    if constant:
        warnings.warn(
            f"{columns.source.name}: every record has the same value in"
            f" {', '.join(map(repr, constant))}, which tells nothing: name it in data.ignore",
            stacklevel=2,
        )


def _is_constant(columns: Columns, name: str) -> bool:
    values = columns.numbers(name)
    known = values[~np.isnan(values)]
    return len(known) in (0, len(values)) and (not len(known) or np.ptp(known) == 0)
