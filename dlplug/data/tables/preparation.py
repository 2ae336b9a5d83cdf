"""What is learned from the training records of a table, and what it makes of any records.

A number x becomes (x - mean) / std of the training records; a missing one becomes 0, the mean, and
says so in a column of its own. A word becomes columns of 0 and 1, or an index, of which 0 stands
for words that the training records do not have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import numpy as np
import pyarrow
import pyarrow.compute as pc
import torch
from torch import Tensor

from dlplug.data.deviation import divisor
from dlplug.data.tables.columns import Columns
from dlplug.errors import DataError, suggestion


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers.

    Args:
        name: Of the column.
        mean: Of the training records that have one.
        std: Their standard deviation; 1 where they are all equal.
        has_indicator: Whether another column says where it is missing.
    """

    name: str
    mean: float
    std: float
    has_indicator: bool


@dataclass(frozen=True)
class CategoryColumn:
    """A column of words.

    Args:
        name: Of the column.
        values: Those of the training records, sorted.
        has_missing: Whether missing is one more of them, the last.
    """

    name: str
    values: tuple[str, ...]
    has_missing: bool

    @property
    def num_values(self) -> int:
        """Values, missing among them."""
        return len(self.values) + self.has_missing


@dataclass(frozen=True)
class Preparation:
    """From the columns of a table to the inputs of a model.

    Args:
        numbers: Columns of numbers.
        categories: Columns of words.
        encoding: ``one_hot`` or ``index``.
    """

    numbers: tuple[NumberColumn, ...]
    categories: tuple[CategoryColumn, ...]
    encoding: str

    @classmethod
    def fit(
        cls,
        columns: Columns,
        names: Sequence[str],
        categorical: Sequence[str],
        rows: Tensor,
        *,
        encoding: str,
        indicators: bool,
        max_categories: int,
    ) -> "Preparation":
        """Learn from the training records alone.

        Args:
            columns: Of the file.
            names: Columns to use.
            categorical: Those of them that are words although they look like numbers.
            rows: Positions of the training records.
            encoding: Of words.
            indicators: Whether missing numbers are told by another column.
            max_categories: Most words that a column may have.
        Raises:
            DataError: a cell is bad, or a column has too many words.
        """
        numbers, categories, train = [], [], rows.numpy()
        for name in names:
            if name not in categorical and columns.is_number(name):
                numbers.append(_fit_numbers(name, columns.numbers(name)[train], indicators))
            else:
                words = columns.words(name).take(pyarrow.array(train))
                is_meant = name in categorical
                file = columns.source.name
                categories.append(_fit_words(name, words, max_categories, file, is_meant))
        return cls(tuple(numbers), tuple(categories), encoding)

    @property
    def num_continuous(self) -> int:
        """Width of what is not an index."""
        width = len(self.numbers) + sum(column.has_indicator for column in self.numbers)
        if self.encoding == "index":
            return width
        return width + sum(column.num_values for column in self.categories)

    @property
    def cat_cardinalities(self) -> tuple[int, ...] | None:
        """Number of indices of each column of words; None where there are no indices."""
        if self.encoding != "index" or not self.categories:
            return None
        return tuple(column.num_values + 1 for column in self.categories)

    def inputs(self, columns: Columns, accept_unknown: bool) -> Tensor | dict[str, Tensor]:
        """``(N, F)`` float32, or ``x_cont`` with ``x_cat`` ``(N, K)`` int64 for indices.

        Args:
            columns: Of any file with the same columns.
            accept_unknown: Whether words that training did not have may occur.
        Raises:
            DataError: a column is missing, or a cell is bad.
        """
        values = {column.name: columns.numbers(column.name) for column in self.numbers}
        parts = [_standardised(values[c.name], c) for c in self.numbers]
        parts += [np.isnan(values[c.name]) for c in self.numbers if c.has_indicator]
        codes = [_codes(columns, column, accept_unknown) for column in self.categories]
        if self.encoding == "one_hot":
            for column, code in zip(self.categories, codes, strict=True):
                parts += [code == i + 1 for i in range(column.num_values)]
        num_rows = columns.source.table.num_rows
        continuous = torch.empty(num_rows, len(parts))
        for i, part in enumerate(parts):
            continuous[:, i] = torch.from_numpy(part.astype(np.float32))
        if self.cat_cardinalities is None:
            return continuous
        indices = torch.from_numpy(np.stack(codes, axis=1)).long()
        return {"x_cont": continuous, "x_cat": indices} if parts else {"x_cat": indices}

    def to_dict(self) -> dict:
        """Plain data."""
        plain = asdict(self)
        for column in plain["categories"]:
            column["values"] = list(column["values"])
        return plain | {name: list(plain[name]) for name in ("numbers", "categories")}

    @classmethod
    def from_dict(cls, plain: Mapping) -> "Preparation":
        """What `to_dict` gave."""
        categories = (
            CategoryColumn(column["name"], tuple(column["values"]), column["has_missing"])
            for column in plain["categories"]
        )
        numbers = (NumberColumn(**column) for column in plain["numbers"])
        return cls(tuple(numbers), tuple(categories), plain["encoding"])


def mean_and_std(values: np.ndarray) -> tuple[float, float]:
    """Of the known values; a standard deviation of 0, or of rounding errors, becomes 1."""
    known = values[~np.isnan(values)]
    if not len(known):
        return 0.0, 1.0
    return float(known.mean()), float(divisor(known, known.std()))


def _fit_numbers(name: str, values: np.ndarray, indicators: bool) -> NumberColumn:
    has_indicator = indicators and bool(np.isnan(values).any())
    return NumberColumn(name, *mean_and_std(values), has_indicator)


def _fit_words(
    name: str, words: pyarrow.ChunkedArray, max_categories: int, file: str, is_meant: bool
) -> CategoryColumn:
    values = sorted(value for value in pc.unique(words).to_pylist() if value is not None)
    if len(values) > 2 and not is_meant and all(map(_is_date, values)):
        raise DataError(
            f"{file}, column {name!r} holds dates, such as {values[0]!r}",
            fix=f"leave it out with data.ignore: [{name}], divide the records by it with"
            f" data.split: time and data.split_by: {name}, or take each date as a word with"
            f" data.categorical: [{name}]",
        )
    if len(values) > max_categories:
        raise DataError(
            f"{file}, column {name!r}: {len(values)} different words, of which"
            f" {max_categories} are allowed; such as {', '.join(map(repr, values[:3]))}",
            fix=f"leave it out with data.ignore: [{name}], or raise data.max_categories",
        )
    return CategoryColumn(name, tuple(values), words.null_count > 0)


def _is_date(word: str) -> bool:
    try:
        return bool(datetime.fromisoformat(word))
    except ValueError:
        return False


def _standardised(values: np.ndarray, column: NumberColumn) -> np.ndarray:
    return np.nan_to_num((values - column.mean) / column.std, nan=0.0)


def _codes(columns: Columns, column: CategoryColumn, accept_unknown: bool) -> np.ndarray:
    """Index of each record's word: 0 unknown, then the values, then missing."""
    words = columns.words(column.name)
    values = pyarrow.array(column.values, pyarrow.string())
    codes = pc.fill_null(pc.index_in(words, value_set=values), -1).to_numpy() + 1
    is_missing = pc.is_null(words).to_numpy()
    unknown = (codes == 0) & ~is_missing
    if unknown.any() and not accept_unknown:
        row = int(np.flatnonzero(unknown)[0])
        word = words[row].as_py()
        fix = suggestion(word, column.values) or "correct it"
        raise columns.source.bad(
            row,
            column.name,
            f"{word!r} did not occur in training",
            fix=f"{fix}; or --data.unknown_categories accept",
        )
    if column.has_missing:
        codes[is_missing] = len(column.values) + 1
    return codes
