"""What is made of predictions as they come: their mean, a table, and what no table can show."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import IO

import lightning
import numpy as np

from dlplug.run.ensemble import cannot, mean_of
from dlplug.run.prediction_spool import Spool
from dlplug.run.prediction_stream import Predictions
from dlplug.run.prediction_table import PredictionTable
from dlplug.storage.new_names import write_new
from dlplug.storage.output_file import write_output
from dlplug.storage.unnamed_file import UnnamedFile
from dlplug.tasks.task import Task, number_table


class PredictionOutput:
    """Writes the table batch by batch, and at the end the arrays of the task, if it has any.

    Nothing of either is seen before.

    Args:
        folder: Where there is room.
        task: Knows what a prediction looks like.
        spools: Predictions of the same records by other checkpoints, with which to take the mean.
        names: Of all inputs, in order; None where they have none.
    """

    def __init__(
        self,
        folder: Path,
        task: lightning.LightningModule,
        spools: Sequence[Spool],
        names: Sequence[str] | None,
    ):
        self.file = UnnamedFile(folder / "predictions.csv")
        self.task = task
        self.spools = spools
        self.num_records = 0
        table = getattr(task, "prediction_table", number_table)
        if not getattr(task, "rows_are_records", True):
            names = None
        self.table = PredictionTable(self.file, table, names, getattr(task, "record_column", None))
        self.arrays = Spool(folder) if has_arrays(task) else None

    def add(self, predictions: Predictions) -> None:
        """Write those of the next records.

        Raises:
            ConfigError: those of several checkpoints have no mean, or the columns change.
            StorageError: the disk is full.
        """
        start, length = self.num_records, len(predictions)
        self.num_records += length
        self._check_records(are_all=False)
        mean = mean_of([*(spool.rows(start, length) for spool in self.spools), predictions])
        self.table.add(mean)
        if self.arrays is not None:
            self.arrays.add(mean)

    def finish(self, target: Path | None, folder: Path) -> tuple[Path, Path | None]:
        """Write the table, and the arrays beside it; returns both files.

        Args:
            target: Of the table; None for a new name, which the table takes when it is whole:
                other predictions end meanwhile.
            folder: Where a new name is taken.
        Raises:
            ConfigError: the checkpoints did not predict equally many records.
            StorageError: the disk is full; no new file is left.
        """
        self._check_records(are_all=True)
        with closing(UnnamedFile(self.file.path.with_suffix(".npz"))) as packed:
            beside = {".npz": packed.copy_to} if self._pack_arrays(packed) else {}
            if target is None:
                written = write_new(beside | {".csv": self.file.copy_to}, new_names(folder))
                return written[".csv"], written.get(".npz")
            arrays = target.with_suffix(".npz") if beside else None

            def write(file: IO[bytes]) -> None:
                self.file.copy_to(file)
                if arrays is not None:
                    write_output(arrays, packed.copy_to)

            write_output(target, write)
        return target, arrays

    def _pack_arrays(self, file: UnnamedFile) -> bool:
        if self.arrays is None:
            return False
        arrays = self.task.prediction_arrays(self.arrays.rows(0, len(self.arrays)))
        if arrays:
            file.fill(lambda content: np.savez_compressed(content, **arrays))
        return bool(arrays)

    def close(self) -> None:
        """Nothing is needed again."""
        self.file.close()
        if self.arrays is not None:
            self.arrays.close()

    def _check_records(self, are_all: bool) -> None:
        for spool in self.spools:
            if len(spool) < self.num_records or (are_all and len(spool) != self.num_records):
                raise cannot("they have cut the inputs into different numbers of records")


def has_arrays(task: lightning.LightningModule) -> bool:
    """Whether the task may have more to write than a table."""
    return isinstance(task, Task) and type(task).prediction_arrays is not Task.prediction_arrays


def new_names(folder: Path) -> Iterator[Path]:
    """``predictions``, ``predictions-2``, ``predictions-3``, ... in the folder."""
    yield folder / "predictions"
    yield from (folder / f"predictions-{number}" for number in count(2))
