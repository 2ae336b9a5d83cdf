"""Records of a CSV file."""

from collections.abc import Sequence
from pathlib import Path

from dlplug.data.bad_rows import BadRows
from dlplug.data.paths import resolve_path
from dlplug.data.tables.source import Source, need_arrow
from dlplug.data.tables.table_data import TableData
from dlplug.errors import InvalidValueError


class CSV(TableData):
    """A CSV file, packed (``.gz``) or not; the first line holds the names of the columns.

    Args:
        path: The file; ``package:NAME/inner/path`` for one inside an installed package.
        target: Column to predict, or several: of numbers, or of labels 0 and 1.
        delimiter: One character between cells.
        column_names: For a file without a line of names.
        encoding: Of the text.
        decimal: What parts whole and fraction of a number: ``.``, or ``,`` as in ``0,94``.
        table: Arguments of `TableData`.
    Raises:
        InvalidValueError: a value out of range.
    """

    def __init__(
        self,
        path: str,
        target: str | list[str],
        delimiter: str = ",",
        column_names: Sequence[str] | None = None,
        encoding: str = "utf8",
        decimal: str = ".",
        **table,
    ):
        super().__init__(path, target, **table)
        if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0':
            raise InvalidValueError(
                f"data csv: delimiter = {delimiter!r} is not one character of ASCII",
                known="any but a quote and a line break, such as ',' ';' or '\\t'",
            )
        if decimal not in (".", ","):
            raise InvalidValueError(f"data csv: decimal = {decimal!r}", known="'.' and ','")
        if column_names is not None and not column_names:
            raise InvalidValueError(
                "data csv: column_names is empty",
                fix="name every column, or delete it for a file with a line of names",
            )
        try:
            # A codec that is none of text, such as rot13, is looked up without an error.
            "".encode(encoding)
        except (LookupError, UnicodeError) as error:
            raise InvalidValueError(
                f"data csv: encoding = {encoding!r} is unknown", known="utf8, latin1, utf16, ..."
            ) from error
        self.delimiter = delimiter
        self.column_names = column_names
        self.encoding = encoding
        self.decimal = decimal

    def read(self, path: str | Path) -> Source:
        """See `TableData.read`."""
        need_arrow("csv")
        from dlplug.data.tables.csv_file import read_csv

        bad, path = BadRows(), resolve_path(path)
        return read_csv(path, self.delimiter, self.column_names, self.encoding, bad, self.decimal)
