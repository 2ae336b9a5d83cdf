"""What is made of predictions as they come: their mean, a table, and what no table can show."""

from collections.abc import Sequence
from pathlib import Path

import lightning
import numpy as np

from dlplug.run.ensemble import cannot, mean_of
from dlplug.run.prediction_spool import Spool
from dlplug.run.prediction_stream import Predictions
from dlplug.run.prediction_table import PredictionTable
from dlplug.storage.files import NewFile, write_file
from dlplug.tasks.task import Task, number_table


class PredictionOutput:
    """Writes the table batch by batch, and at the end the arrays of the task, if it has any.

    Args:
        file: Open, for the table.
        task: Knows what a prediction looks like.
        spools: Predictions of the same records by other checkpoints, with which to take the mean.
        names: Of all inputs, in order; None where they have none.
    """

    def __init__(
        self,
        file: NewFile,
        task: lightning.LightningModule,
        spools: Sequence[Spool],
        names: Sequence[str] | None,
    ):
        self.file = file
        self.task = task
        self.spools = spools
        self.num_records = 0
        table = getattr(task, "prediction_table", number_table)
        self.table = PredictionTable(file, table, names, getattr(task, "record_column", None))
        has_arrays = (
            isinstance(task, Task) and type(task).prediction_arrays is not Task.prediction_arrays
        )
        self.arrays = Spool(file.path.parent) if has_arrays else None

    def add(self, predictions: Predictions) -> None:
        """Write those of the next records.

        Raises:
            ConfigError: those of several checkpoints have no mean, or the columns change.
            StorageError: the disk is full.
        """
        start, count = self.num_records, len(predictions)
        self.num_records += count
        self._check_records(are_all=False)
        mean = mean_of([*(spool.rows(start, count) for spool in self.spools), predictions])
        self.table.add(mean)
        if self.arrays is not None:
            self.arrays.add(mean)

    def finish(self) -> Path | None:
        """Write the arrays beside the table; returns their file.

        Raises:
            ConfigError: the checkpoints did not predict equally many records.
            StorageError: the disk is full.
        """
        self._check_records(are_all=True)
        if self.arrays is None:
            return None
        arrays = self.task.prediction_arrays(self.arrays.rows(0, len(self.arrays)))
        if not arrays:
            return None
        path = self.file.path.with_suffix(".npz")
        write_file(path, lambda file: np.savez_compressed(file, **arrays))
        return path

    def close(self) -> None:
        """Nothing is needed again."""
        if self.arrays is not None:
            self.arrays.close()

    def _check_records(self, are_all: bool) -> None:
        for spool in self.spools:
            if len(spool) < self.num_records or (are_all and len(spool) != self.num_records):
                raise cannot("they have cut the inputs into different numbers of records")
