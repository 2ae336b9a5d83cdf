"""Read a CSV file: every cell as text, every fault named by its line."""

import csv
import gzip
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dlplug.data.bad_rows import BadRows
from dlplug.data.tables.source import Source, check_table
from dlplug.errors import DataError

if TYPE_CHECKING:
    import pyarrow
    from pyarrow import csv as arrow_csv


def read_csv(
    path: Path,
    delimiter: str = ",",
    column_names: Sequence[str] | None = None,
    encoding: str = "utf8",
    bad: BadRows | None = None,
    decimal: str = ".",
) -> Source:
    """The whole file, as text; ``.gz`` is unpacked.

    Reading as text is what makes errors exact: the type of a column is decided when all of its
    cells are known, and not by the first megabyte.

    Args:
        path: Of the file, which exists.
        delimiter: One character between cells.
        column_names: Where the file has no line of names.
        encoding: Of its text.
        bad: Told of the rows with too many or too few cells; without it, they are errors.
        decimal: What parts whole and fraction of its numbers: ``.`` or ``,``.
    Raises:
        DataError: the file is empty, no text, or a row has too many or too few cells.
    """
    import pyarrow
    from pyarrow import csv as arrow_csv

    file = _File(path, delimiter, encoding, column_names is None)
    if not path.is_file():
        raise DataError(f"{path} is no file")
    names = list(column_names) if column_names is not None else file.header()
    # By position: columns of the same name are refused below, with a better message.
    positions = [str(i) for i in range(len(names))]
    reading = arrow_csv.ReadOptions(column_names=positions, encoding=encoding)
    parsing = arrow_csv.ParseOptions(
        delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=True
    )
    converting = arrow_csv.ConvertOptions(
        column_types={position: pyarrow.string() for position in positions},
        strings_can_be_null=False,
    )
    try:
        table = _arrow_table(path, reading, parsing, converting)
    except (pyarrow.ArrowInvalid, UnicodeError, OSError) as error:
        bad_rows = BadRows() if bad is None else bad
        table = file.table(positions, bad_rows, str(error))
        if bad is None:
            bad_rows.check(0)
    if column_names is None:
        # The names were read as the first record: skipping lines would miscount names that hold
        # line breaks.
        table = table.slice(1)
    if table.num_rows and any("\n" in (column[-1].as_py() or "") for column in table.columns):
        file.refuse_open_quote()
    table = table.rename_columns(names)
    bad = BadRows() if bad is None else bad
    return check_table(Source(str(path), table, file.place, bad, decimal))


def _arrow_table(
    path: Path,
    reading: "arrow_csv.ReadOptions",
    parsing: "arrow_csv.ParseOptions",
    converting: "arrow_csv.ConvertOptions",
) -> "pyarrow.Table":
    """As pyarrow reads it, in larger blocks where a row is longer than one."""
    import pyarrow
    from pyarrow import csv as arrow_csv

    while True:
        try:
            return arrow_csv.read_csv(path, reading, parsing, converting)
        except pyarrow.ArrowInvalid as error:
            # The only sign of it: "straddling object straddles two block boundaries".
            if "straddling" not in str(error) or reading.block_size >= LARGEST_BLOCK:
                raise
        reading.block_size = min(8 * reading.block_size, LARGEST_BLOCK)


# Bytes; pyarrow counts those of a block in 32 bits.
LARGEST_BLOCK = 2**31 - 1
# From so many bad rows on, a file in which most rows are bad is not read on.
MANY = 1000
# The standard library's own bound on a cell, which is smaller than many a document; it is one for
# all readers of a process, and its largest value on every system.
csv.field_size_limit(2**31 - 1)
# What the standard library says about a file that is damaged, or no text.
FAULTS = (UnicodeError, csv.Error, OSError, EOFError)


class _File:
    """The same file for the standard library's reader, which counts lines; used for messages."""

    def __init__(self, path: Path, delimiter: str, encoding: str, has_header: bool):
        self.path = path
        self.delimiter = delimiter
        self.encoding = encoding
        self.has_header = has_header

    def records(self, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
        """First line, counted from 1, and cells of each record; empty lines are none."""
        is_utf8 = self.encoding.lower().replace("-", "") == "utf8"
        # With -sig a byte order mark is no part of the first name.
        encoding = "utf-8-sig" if is_utf8 else self.encoding
        opened = gzip.open if self.path.suffix == ".gz" else open
        with opened(self.path, "rt", encoding=encoding, newline="") as file:
            reader, before = csv.reader(file, delimiter=self.delimiter, strict=strict), 0
            for cells in reader:
                if cells:
                    yield before + 1, cells
                before = reader.line_num

    def header(self) -> list[str]:
        """The names in the first line."""
        try:
            first = next(self.records(), None)
        except FAULTS as error:
            raise self._no_text(error) from error
        if first is None:
            raise DataError(f"{self.path} is empty", fix="it needs a line of column names")
        return [name.strip() for name in first[1]]

    def place(self, row: int) -> str:
        """``line N`` of a row, counted from 0 without the names."""
        number = row + self.has_header
        return f"line {self._lines[number]}" if number < len(self._lines) else f"record {row + 1}"

    @cached_property
    def _lines(self) -> list[int]:
        return [line for line, _ in self.records()]

    def table(self, names: Sequence[str], bad: BadRows, reason: str) -> "pyarrow.Table":
        """All records, for a file that pyarrow refuses; cells of bad ones are null.

        Args:
            names: Of the columns.
            bad: Told of the rows of another width, counted from 0 without the names.
            reason: What pyarrow said.
        Raises:
            DataError: the file is no text, hardly any row is good, or it is something else.
        """
        import pyarrow

        rows, width = [], len(names)
        try:
            for number, (line, cells) in enumerate(self.records()):
                if len(cells) != width:
                    error = DataError(
                        f"{self.path}, line {line}: {len(cells)} cells in a table of {width}"
                        " columns",
                        fix="a cell that holds the delimiter, or a line break, must be quoted",
                    )
                    bad.add(number - self.has_header, error)
                    cells = [None] * width
                rows.append(cells)
                if len(bad) > MANY and 2 * len(bad) > len(rows):
                    bad.check(0)
        except FAULTS as error:
            raise self._no_text(error) from error
        if not bad:
            what = reason.splitlines()[0] if reason else ""
            raise DataError(f"{self.path} cannot be read: {what}")
        columns = zip(*rows, strict=True)
        arrays = [pyarrow.chunked_array([pyarrow.array(c, pyarrow.string())]) for c in columns]
        return pyarrow.table(dict(zip(names, arrays, strict=True)))

    def refuse_open_quote(self) -> None:
        """A quote that is never closed makes the rest of the file one cell.

        Raises:
            DataError: names the line of the record with the quote.
        """
        last = 1
        records = self.records(strict=True)
        try:
            while (record := next(records, None)) is not None:
                last = record[0]
        except csv.Error as error:
            raise DataError(
                f"{self.path}: a quote in the record after line {last} is never closed"
            ) from error

    def _no_text(self, error: Exception) -> DataError:
        is_encoding = isinstance(error, UnicodeError)
        return DataError(
            f"{self.path} cannot be read as {self.encoding} text: {error}",
            fix="set data.encoding, such as latin1" if is_encoding else None,
        )
