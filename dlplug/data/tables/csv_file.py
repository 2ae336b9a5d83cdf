"""Read a CSV file: every cell as text, every fault named by its line."""

import csv
import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path

from dlplug.data.tables.source import Source, check_table
from dlplug.errors import DataError


def read_csv(
    path: Path,
    delimiter: str = ",",
    column_names: Sequence[str] | None = None,
    encoding: str = "utf8",
) -> Source:
    """The whole file, as text; ``.gz`` is unpacked.

    Reading as text is what makes errors exact: the type of a column is decided when all of its
    cells are known, and not by the first megabyte.

    Args:
        path: Of the file, which exists.
        delimiter: One character between cells.
        column_names: Where the file has no line of names.
        encoding: Of its text.
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
        table = arrow_csv.read_csv(path, reading, parsing, converting)
    except (pyarrow.ArrowInvalid, UnicodeError, OSError) as error:
        raise file.fault(len(names), str(error)) from error
    if column_names is None:
        # The names were read as the first record: skipping lines would miscount names that hold
        # line breaks.
        table = table.slice(1)
    if table.num_rows and any("\n" in column[-1].as_py() for column in table.columns):
        file.refuse_open_quote()
    return check_table(Source(str(path), table.rename_columns(names), file.place))


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
        return next(
            (f"line {line}" for i, (line, _) in enumerate(self.records()) if i == number),
            f"record {row + 1}",
        )

    def fault(self, width: int, reason: str) -> DataError:
        """Why pyarrow could not read the file."""
        try:
            for line, cells in self.records():
                if len(cells) != width:
                    return DataError(
                        f"{self.path}, line {line}: {len(cells)} cells in a table of {width}"
                        " columns",
                        fix="a cell that holds the delimiter, or a line break, must be quoted",
                    )
        except FAULTS as error:
            return self._no_text(error)
        return DataError(f"{self.path} cannot be read: {reason.splitlines()[0] if reason else ''}")

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
