"""One file as a table of raw columns, and where its rows stand in it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dlplug.data.bad_rows import BadRows
from dlplug.errors import DataError, DlplugError, suggestion

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class Source:
    """A table that was read.

    Args:
        name: Of the file, for messages.
        table: Its columns; those of a CSV file are all text.
        place: Where a row stands, as a person finds it: ``line 17``.
        bad_rows: Rows that could not be read, whose cells are null.
        decimal: What parts whole and fraction of the numbers that are text: ``.`` or ``,``.
    """

    name: str
    table: "pyarrow.Table"
    place: Callable[[int], str]
    bad_rows: BadRows = field(default_factory=BadRows)
    decimal: str = "."

    def column(self, name: str) -> "pyarrow.ChunkedArray":
        """The column of that name.

        Raises:
            DataError: there is none.
        """
        if name not in self.table.column_names:
            raise DataError(
                f"{self.name} has no column {name!r}",
                known=", ".join(self.table.column_names),
                fix=suggestion(name, self.table.column_names),
            )
        return self.table.column(name)

    def bad(
        self, row: int, column: str, what: str, fix: str | None = None, known: str | None = None
    ) -> DataError:
        """The error for one bad cell."""
        return DataError(f"{self.cell(row, column)}: {what}", known=known, fix=fix)

    def cell(self, row: int, column: str) -> str:
        """Where a cell stands, in words."""
        return f"{self.name}, {self.place(row)}, column {column!r}"


def need_arrow(name: str) -> None:
    """pyarrow is installed.

    Args:
        name: Of the data module.
    Raises:
        DlplugError: it is not.
    """
    try:
        import pyarrow  # noqa: F401 - asks whether it is there
    except ImportError as error:
        raise DlplugError(
            f"data {name} needs the package pyarrow, which is not installed",
            fix="pip install 'dlplug[tables]'",
        ) from error


def check_table(source: Source) -> Source:
    """There are rows, and every column has a name of its own.

    Raises:
        DataError: it is not so.
    """
    names = source.table.column_names
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(
            f"{source.name} has {names.count(twice)} columns named {twice!r}",
            fix="give every column a name of its own",
        )
    if not source.table.num_rows:
        raise DataError(f"{source.name} has no records", known=f"columns: {', '.join(names)}")
    return source
