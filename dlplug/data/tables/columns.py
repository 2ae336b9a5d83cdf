"""A raw column as numbers or as words, with every bad cell named."""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow
import pyarrow.compute as pc

from dlplug.data.bad_rows import BadRows
from dlplug.data.missing import MISSING
from dlplug.data.tables.source import Source
from dlplug.errors import DataError

# A column is one of numbers when at least this share of its known cells are numbers: the others
# are then faults to be named. Below it, the column is one of words.
NUMBER_SHARE = 0.9
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
NUMBER_WITH_COMMA = NUMBER.replace(r"\.", ",")
# 17,042 may be a number of thousands: a comma that parts a fraction would make 17.042 of it.
THOUSANDS = r"^[+-]?[0-9]{1,3},[0-9]{3}$"


class Columns:
    """The columns of one file, as what they mean.

    Args:
        source: The file.
        missing: Cells that mean that nothing is known.
        bad: Told of the rows with a bad cell, of which nothing is known then; without it, they are
            errors.
        is_learned: A training has learned which of them are numbers, so that no fix makes words of
            one.
    """

    def __init__(
        self,
        source: Source,
        missing: Sequence[str] = MISSING,
        bad: BadRows | None = None,
        is_learned: bool = False,
    ):
        self.source = source
        self.missing = list(missing)
        self.bad = bad
        self.is_learned = is_learned

    def refuse(
        self,
        wrong: np.ndarray,
        name: str,
        what: Callable[[int], str],
        fix: str | None = None,
        known: str | None = None,
    ) -> None:
        """Cells of a column are bad.

        Args:
            wrong: Which, shape ``(N,)``.
            name: Of the column.
            what: Says what is wrong in a row.
            fix: What to do.
            known: What would be right.
        Raises:
            DataError: names the first of them, unless `bad` is there to be told.
        """
        bad = BadRows() if self.bad is None else self.bad
        for row in np.flatnonzero(wrong).tolist():
            bad.add(row, self.source.bad(row, name, what(row), fix, known))
        if self.bad is None:
            bad.check(0)

    def is_number(self, name: str, is_target: bool = False) -> bool:
        """Whether the column is one of numbers: see `NUMBER_SHARE`.

        Args:
            name: Of the column.
            is_target: For what to do about it.
        Raises:
            DataError: it is neither of numbers nor of words, or of numbers with a comma before
                their fractions where `Source.decimal` is a point.
        """
        column = self._simple(name)
        if not pyarrow.types.is_string(column.type):
            return True
        text = self._text(column)
        # A column without any known cell holds nothing to tell it from numbers.
        needed = NUMBER_SHARE * (len(text) - text.null_count)
        if _count(self._are_numbers(text)) >= needed:
            return True
        if self.source.decimal == ".":
            with_comma = pc.match_substring_regex(text, NUMBER_WITH_COMMA)
            if _count(pc.or_(with_comma, self._are_numbers(text))) >= needed:
                self._refuse_comma(name, with_comma, is_target)
        return False

    def numbers(self, name: str) -> np.ndarray:
        """The column as float64 ``(N,)``, NaN where nothing is known.

        Raises:
            DataError: names the first cell that is no finite number.
        """
        column = self._simple(name)
        if not pyarrow.types.is_string(column.type):
            values = column.cast(pyarrow.float64(), safe=False).to_numpy()
            wrong = np.isinf(values)
            values = np.where(wrong, np.nan, values)
        else:
            text = self._text(column)
            is_number = self._are_numbers(text)
            plain = pc.utf8_ltrim(pc.if_else(is_number, text, None), "+")
            plain = pc.replace_substring(plain, self.source.decimal, ".")
            values = plain.cast(pyarrow.float64()).to_numpy()
            wrong = pc.fill_null(pc.invert(is_number), False).to_numpy() | np.isinf(values)
            values = np.where(wrong, np.nan, values)
        self.refuse(
            wrong,
            name,
            lambda row: f"{column[row].as_py()!r} is no finite number",
            fix="correct it, or add it to data.missing"
            if self.is_learned
            else f"correct it, add it to data.missing, or name {name!r} in data.categorical",
        )
        # What Arrow gives may be its own memory, which cannot be written to.
        return np.array(values)

    def words(self, name: str) -> pyarrow.ChunkedArray:
        """The column as text without blanks around it, null where nothing is known."""
        column = self._simple(name)
        if pyarrow.types.is_floating(column.type):
            whole = pc.round(column)
            # Up to where float64 holds every whole number; larger ones stay as they are written.
            is_small = pc.less(pc.abs(column), 2.0**53)
            if pc.all(pc.and_(pc.equal(whole, column), is_small)).as_py():
                column = column.cast(pyarrow.int64())
        if not pyarrow.types.is_string(column.type):
            column = column.cast(pyarrow.string())
        return self._text(column)

    def _are_numbers(self, text: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
        """Which cells are numbers, null where nothing is known."""
        return pc.match_substring_regex(
            text, NUMBER if self.source.decimal == "." else NUMBER_WITH_COMMA
        )

    def _refuse_comma(self, name: str, with_comma: pyarrow.ChunkedArray, is_target: bool) -> None:
        column = self.source.column(name)
        has_comma = pc.and_(with_comma, pc.match_substring(self._simple(name), ","))
        row = int(np.flatnonzero(pc.fill_null(has_comma, False).to_numpy())[0])
        cells = self._simple(name).filter(pc.fill_null(has_comma, False))
        cells = pc.match_substring_regex(pc.utf8_trim_whitespace(cells), THOUSANDS)
        may_be_thousands = pc.all(cells).as_py()
        fraction = "set data.decimal to ',' (of csv)"
        thousands = "write the file without commas where they part thousands"
        fixes = (
            [thousands, f"{fraction} where they part fractions"]
            if may_be_thousands
            else [fraction, "write the file with a point"]
        )
        if not self.is_learned:
            word = "set data.target_kind to class where it is one"
            fixes.append(word if is_target else f"name {name!r} in data.categorical")
        raise self.source.bad(
            row,
            name,
            f"{column[row].as_py()!r} is a number with a comma"
            + ("" if self.is_learned else ", and would be a word")
            + ("; the comma may part thousands" * may_be_thousands),
            fix=", or ".join(fixes),
        )

    def _text(self, column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
        text = pc.utf8_trim_whitespace(column)
        is_missing = pc.is_in(text, value_set=pyarrow.array(self.missing, pyarrow.string()))
        return pc.if_else(is_missing, pyarrow.scalar(None, pyarrow.string()), text)

    def _simple(self, name: str) -> pyarrow.ChunkedArray:
        """Numbers or plain text; dictionaries are unpacked, times become days since 1970."""
        column, types = self.source.column(name), pyarrow.types
        if types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        kind = column.type
        if types.is_float16(kind):
            # Arrow computes nothing with them.
            return column.cast(pyarrow.float32())
        if types.is_large_string(kind) or types.is_string_view(kind):
            return column.cast(pyarrow.string())
        if types.is_boolean(kind):
            return column.cast(pyarrow.int8())
        if types.is_timestamp(kind) or types.is_date(kind):
            seconds = column.cast(pyarrow.timestamp("us"), safe=False).cast(pyarrow.int64())
            return pc.divide(seconds.cast(pyarrow.float64()), 86_400_000_000.0)
        if types.is_string(kind) or types.is_integer(kind) or types.is_floating(kind):
            return column
        if types.is_decimal(kind) or types.is_null(kind):
            return column.cast(pyarrow.float64())
        raise DataError(
            f"{self.source.name}, column {name!r}: {kind} is neither a number nor a word",
            fix=f"name it in data.ignore: [{name}]",
        )


def _count(are: pyarrow.ChunkedArray) -> int:
    return pc.sum(are).as_py() or 0
