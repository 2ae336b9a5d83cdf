"""Files of whole series with a class each: ``.ts`` of sktime and aeon, ``.txt``/``.tsv`` of UCR."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from string import whitespace

import numpy as np

from dlplug.data.bad_rows import BadRows
from dlplug.data.missing import MISSING
from dlplug.data.text.token_data import read_text
from dlplug.errors import DataError

# Between two commas or tabs there is a cell, even with nothing in it; blanks are one divider.
DIVIDER = re.compile(r"[^\S\t]*[,\t][^\S\t]*|[^\S\t]+")
DIVIDERS = f",{whitespace}"


@dataclass(frozen=True)
class Series:
    """One series of a file.

    Args:
        values: Shape ``(T, F)``, float32; NaN where a value is missing.
        label: Its class as written; None in a file without classes.
        line: Where it stands, from 1.
    """

    values: np.ndarray
    label: str | None
    line: int


def read_series(path: Path, bad: BadRows | None = None) -> list[Series]:
    """All series of a file, whose ending says its format.

    ``.ts``: after a header and the line ``@data``, one series in each line: channels divided by
    ``:``, values by ``,``, and the class last. ``.txt``, ``.tsv``, ``.csv``: one series of one
    channel in each line, its class first, divided by commas, tabs or blanks. A cell with nothing in
    it, such as between two commas, is a missing value; at the end of a line it is none, so that
    series of several lengths may be padded by such cells.

    Args:
        path: The file.
        bad: Told of the series that are bad, which are then a single zero; without it, they are
            errors.
    Raises:
        DataError: names file and line of what is no series.
    """
    bad_rows, found = BadRows() if bad is None else bad, []
    width = None
    for row, (channels, label, line) in enumerate(
        _ts(path) if path.suffix == ".ts" else _rows(path)
    ):
        try:
            values = _stacked(channels, path, line)
            if width not in (None, len(channels)):
                raise DataError(
                    f"{path}, line {line}: {len(channels)} channels, the first series has {width}"
                )
            width = len(channels)
        except DataError as error:
            bad_rows.add(row, error)
            values = np.zeros((1, 1), dtype=np.float32)
        found.append(Series(values, label, line))
    if not found:
        raise DataError(f"{path} holds no series")
    if bad is None:
        bad_rows.check(0)
    for row in bad_rows:
        found[row] = replace(found[row], values=np.zeros((1, width or 1), dtype=np.float32))
    return found


def _ts(path: Path) -> Iterator[tuple[list[str], str | None, int]]:
    """Channels, class and line of each series."""
    is_data, has_label = False, True
    for number, line in enumerate(read_text(path).splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if is_data:
            channels = line.split(":")
            label = channels.pop().strip() if has_label else None
            yield channels, label, number
            continue
        key, *words = line.lower().split()
        if not key.startswith("@"):
            raise DataError(f"{path}, line {number}: no header line, and no @data before it")
        if key == "@timestamps" and words[:1] == ["true"]:
            raise DataError(
                f"{path}, line {number}: values with time stamps are not read",
                fix="write the values alone, with @timeStamps false",
            )
        if key in ("@classlabel", "@targetlabel"):
            has_label = words[:1] == ["true"]
        is_data = key == "@data"
    if not is_data:
        raise DataError(f"{path}: there is no line @data")


def _rows(path: Path) -> Iterator[tuple[list[str], str, int]]:
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if line := line.rstrip(DIVIDERS):
            label, *words = DIVIDER.split(line.lstrip(" "))
            # UCR's files write the class as a number, and some of them as 1.0000000e+00.
            yield [",".join(words)], _plain(label), number


def _plain(label: str) -> str:
    try:
        number = float(label)
    except ValueError:
        return label
    return str(int(number)) if number.is_integer() else label


def _stacked(channels: list[str], path: Path, number: int) -> np.ndarray:
    rows = [
        [_value(word, path, number, channel) for word in text.split(",")]
        for channel, text in enumerate(channels, 1)
    ]
    lengths = {len(row) for row in rows}
    if len(lengths) != 1:
        raise DataError(
            f"{path}, line {number}: channels of {min(lengths, default=0)} and of"
            f" {max(lengths, default=0)} values"
        )
    return np.array(rows, dtype=np.float32).T


def _value(word: str, path: Path, number: int, channel: int) -> float:
    word = word.strip()
    if word in MISSING:
        return float("nan")
    try:
        value = float(word)
    except ValueError:
        value = float("inf")
    if value in (float("inf"), float("-inf")):
        raise DataError(f"{path}, line {number}, channel {channel}: {word!r} is no number")
    return value
