"""The table of all predictions, written batch by batch."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence

from dlplug.errors import ConfigError
from dlplug.run.prediction_stream import Predictions
from dlplug.storage.unnamed_file import UnnamedFile

Table = Callable[[Predictions], tuple[list[str], Iterable[list]]]


class PredictionTable:
    """CSV with an index in front, and the names of the inputs; numbers with six digits.

    A task that knows how many digits its numbers have gives them as text.

    Args:
        file: Open.
        table: Gives columns, and rows, of a batch of predictions: `Task.prediction_table`.
        names: Of all inputs, in order; None where they have none, or where rows are no records.
        record_column: The column that counts the records of a batch from 0, and is to count all.
    """

    def __init__(
        self,
        file: UnnamedFile,
        table: Table,
        names: Sequence[str] | None = None,
        record_column: str | None = None,
    ):
        self.file = file
        self.table = table
        self.names = names
        self.record_column = record_column
        self._columns: list[str] | None = None
        self._num_rows = 0
        self._num_records = 0

    def add(self, predictions: Predictions) -> None:
        """Write the rows of the next records.

        Raises:
            ConfigError: they have other columns than those before, or names and not a row for each.
            StorageError: the disk is full.
        """
        columns, rows = self.table(predictions)
        columns, rows = list(columns), [list(row) for row in rows]
        is_first = self._columns is None
        if is_first:
            self._columns = columns
        elif columns != self._columns:
            raise ConfigError(
                f"the predictions from record {self._num_records} on have other columns than those"
                f" before: {_shortened(columns)}; before: {_shortened(self._columns)}",
                fix="let the architecture give outputs of one size",
            )
        if self.record_column is not None:
            place = columns.index(self.record_column)
            for row in rows:
                row[place] += self._num_records
        if self.names is not None:
            columns = ["input", *columns]
            given = self.names[self._num_records : self._num_records + len(predictions)]
            if not len(given) == len(predictions) == len(rows):
                raise ConfigError(
                    f"{len(rows)} rows for {len(predictions)} predictions and {len(given)} inputs",
                    fix="let the task say rows_are_records = False",
                )
            rows = [[name, *row] for name, row in zip(given, rows, strict=True)]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if is_first:
            writer.writerow(["index", *columns])
        for index, row in enumerate(rows, self._num_rows):
            writer.writerow([index, *(_cell(value) for value in row)])
        self.file.write(text.getvalue().encode())
        self._num_rows += len(rows)
        self._num_records += len(predictions)


def _cell(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value


def _shortened(columns: Sequence[str]) -> str:
    return ", ".join(columns[:4]) + (f", ... ({len(columns)})" if len(columns) > 4 else "")
