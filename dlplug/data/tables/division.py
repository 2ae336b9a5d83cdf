"""Which records of a table train, validate and test."""

import numpy as np
import pyarrow
import pyarrow.compute as pc
from torch import Tensor

from dlplug.data.record_split import (
    UnknownSplitError,
    column_split,
    group_split,
    random_split,
    time_split,
)
from dlplug.data.split import stratified_split
from dlplug.data.tables.columns import Columns


def divide(
    columns: Columns,
    by: str,
    column: str | None,
    *,
    classes: Tensor | None,
    fractions: tuple[float, float],
    seed: int,
) -> dict[str, Tensor]:
    """Positions of the records of each split.

    Args:
        columns: Of the file.
        by: ``fraction``, ``column``, ``group`` or ``time``.
        column: That says split, group or time.
        classes: Of each record ``(N,)``: a fraction is then one of each class.
        fractions: Shares of validation and test.
        seed: Of a division by chance or group.
    Raises:
        DataError: a cell of the column is missing, or says something else.
        InvalidValueError: the fractions leave nothing to train on.
    """
    if by == "fraction":
        if classes is not None:
            return stratified_split(classes, *fractions, seed)
        return random_split(columns.source.table.num_rows, *fractions, seed)
    if by == "time":
        return time_split(_times(columns, column), *fractions)
    words = columns.words(column).to_pylist()
    if None in words:
        what = f"the {'split' if by == 'column' else 'group'} is missing"
        raise columns.source.bad(words.index(None), column, what)
    if by == "group":
        return group_split(words, *fractions, seed)
    try:
        return column_split(words)
    except UnknownSplitError as error:
        raise columns.source.bad(error.record, column, error.what, known=error.known) from error


def _times(columns: Columns, name: str) -> np.ndarray:
    """Times of the records in an order that can be sorted: numbers, or ISO 8601 texts."""
    if columns.is_number(name):
        times = columns.numbers(name)
        missing = np.isnan(times)
    else:
        words = columns.words(name)
        try:
            stamps = words.cast(pyarrow.timestamp("us"))
        except pyarrow.ArrowInvalid:
            # Arrow's message holds no row.
            row = next(i for i, word in enumerate(words) if not _is_time(word))
            raise columns.source.bad(
                row, name, f"{words[row].as_py()!r} is no time, such as 2024-05-31 or 2024-05-31T08"
            ) from None
        missing = pc.is_null(stamps).to_numpy()
        times = pc.fill_null(stamps.cast(pyarrow.int64()), 0).to_numpy()
    if missing.any():
        raise columns.source.bad(int(np.flatnonzero(missing)[0]), name, "the time is missing")
    return times


def _is_time(word) -> bool:
    try:
        word.cast(pyarrow.timestamp("us"))
    except pyarrow.ArrowInvalid:
        return False
    return True
