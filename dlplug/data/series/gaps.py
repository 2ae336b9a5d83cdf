"""Values that a series lacks."""

import numpy as np

from dlplug.errors import DataError, InvalidValueError

FILLS = ("error", "forward")


def check_fill(fill: str, data: str) -> None:
    """``fill`` is one of `FILLS`.

    Raises:
        InvalidValueError: it is not.
    """
    if fill not in FILLS:
        raise InvalidValueError(f"data {data}: fill = {fill!r}", known=", ".join(FILLS))


def fill_gaps(values: np.ndarray, fill: str, describe) -> np.ndarray:
    """The series without gaps.

    Args:
        values: Shape ``(T, F)`` float; NaN where a value is missing.
        fill: ``error`` to allow none, ``forward`` to repeat the value before.
        describe: ``describe(row, column)`` says in words where a value stands.
    Raises:
        DataError: names the first gap that cannot be filled, and how many there are.
    """
    gaps = np.isnan(values)
    if not gaps.any():
        return values
    if fill == "forward":
        # The row of the last known value, for each place; 0 where there is none yet.
        rows = np.where(gaps, 0, np.arange(len(values))[:, None])
        values = np.take_along_axis(values, np.maximum.accumulate(rows, axis=0), axis=0)
        gaps = np.isnan(values)
    if gaps.any():
        row, column = np.argwhere(gaps)[0]
        raise DataError(
            f"{describe(row, column)}: no value"
            + (", and none before it" if fill == "forward" else ""),
            known=f"{int(gaps.sum())} of {gaps.size} values are missing",
            fix="delete the rows without values"
            + ("" if fill == "forward" else ", or set data.fill to forward: the value before"),
        )
    return values
