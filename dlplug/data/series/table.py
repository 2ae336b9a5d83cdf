"""Columns of numbers in a file of separated values, in the order of time."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dlplug.data.keys import Keys
from dlplug.data.missing import MISSING
from dlplug.data.text.token_data import read_text
from dlplug.data.times import read_time
from dlplug.errors import DataError, suggestion

DELIMITERS = (",", ";", "\t")
# Months differ by a tenth of their length, a step left out is twice as long.
GAP = 1.5
SECONDS = {"day": 86400.0, "week": 7 * 86400.0, "year": 365.2425 * 86400.0}


@dataclass(frozen=True)
class Table:
    """Numbers of a file.

    Args:
        values: Shape ``(T, F)``, float64; NaN where a value is missing.
        lines: Where each row stands, as an editor counts, from 1.
        times: Of each row, shape ``(T,)``: seconds since 1970 as a clock at the place shows them,
            or numbers; None without a column of time.
        is_dated: Whether the times are dates.
        texts: Of the column of texts, one for each row; empty without one.
    """

    values: np.ndarray
    lines: list[int]
    times: np.ndarray | None
    is_dated: bool
    texts: list[str]


def read_table(
    path: Path, columns: Sequence[str], time: str | None = None, text: str | None = None
) -> Table:
    """Columns of a file whose first line has their names; divided by ``,``, ``;`` or tabs.

    Args:
        path: A file of UTF-8.
        columns: In the order in which they are wanted.
        time: Column of dates (ISO 8601, also with ``/``) or numbers, which must rise evenly: dates
            with a time zone in UTC, through any change of the clocks, others as they stand.
        text: Column of anything, to be read as it stands.
    Raises:
        DataError: names file, line and column of what is missing or no number.
    """
    lines = read_text(path).splitlines()
    header = lines[0] if lines else ""
    delimiter = max(DELIMITERS, key=header.count)
    reader = csv.reader(lines, delimiter=delimiter)
    names = [name.strip() for name in next(reader, [])]
    places = [_place(name, names, path) for name in columns]
    time_place = _place(time, names, path) if time else None
    text_place = None if text is None else _place(text, names, path)
    rows, numbers, times, texts = [], [], [], []
    for row in reader:
        if not any(map(str.strip, row)):
            continue
        if len(row) != len(names):
            raise DataError(
                f"{path}, line {reader.line_num}: {len(row)} values for {len(names)} columns"
            )
        words = [row[place].strip() for place in places]
        if time:
            times.append(row[time_place].strip())
        if text is not None:
            texts.append(row[text_place].strip())
        where = f"{path}, line {reader.line_num}"
        rows.append([_number(w, where, c) for w, c in zip(words, columns, strict=True)])
        numbers.append(reader.line_num)
    if not rows:
        raise DataError(f"{path} has no rows below its header")
    seconds, is_dated = None, False
    if time:
        seconds, is_dated = _times(times, numbers, path, time)
    return Table(np.array(rows, dtype=np.float64), numbers, seconds, is_dated, texts)


def calendar_features(times: np.ndarray, periods: Sequence[str]) -> np.ndarray:
    """Where each time stands in a day, a week or a year, as sine and cosine.

    Args:
        times: Seconds since 1970 as a clock at the place shows them, shape ``(T,)``.
        periods: Of ``day``, ``week``, ``year``.
    Returns:
        Shape ``(T, 2 * len(periods))``.
    """
    phases = [2 * math.pi * times / SECONDS[period] for period in periods]
    return np.stack([wave(phase) for phase in phases for wave in (np.sin, np.cos)], axis=1)


def _place(name: str, names: list[str], path: Path) -> int:
    if names.count(name) != 1:
        raise DataError(
            f"{path}: {names.count(name) or 'no'} columns {name!r}",
            known=", ".join(names),
            fix=suggestion(name, names),
        )
    return names.index(name)


def _number(word: str, where: str, column: str) -> float:
    if word in MISSING:
        return math.nan
    try:
        value = float(word)
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise DataError(f"{where}, column {column!r}: {word!r} is no number")
    return value


def _times(words: list[str], lines: list[int], path: Path, column: str) -> tuple[np.ndarray, bool]:
    times = Keys(words, lambda row: f"{path}, line {lines[row]}, column {column!r}").times()
    steps = np.diff(times)
    for i in np.flatnonzero(steps <= 0)[:1]:
        raise DataError(
            f"{path}, line {lines[i + 1]}, column {column!r}: {words[i + 1]!r} is not after"
            f" {words[i]!r}",
            fix="sort the rows by time, and leave one row for each time",
        )
    for i in np.flatnonzero(steps > GAP * np.median(steps) if len(steps) else [])[:1]:
        raise DataError(
            f"{path}, line {lines[i + 1]}, column {column!r}: there is a gap between"
            f" {words[i]!r} and {words[i + 1]!r}",
            fix="add the rows that are missing, with empty values, and set data.fill to forward;"
            " or delete data.time to take the rows as evenly spaced",
        )
    read = [read_time(word) for word in words]
    is_dated = read[0].kind != "number"
    # The calendar is the place's: people get up at seven in summer, too.
    return np.array([time.clock for time in read]) / (1e6 if is_dated else 1), is_dated
