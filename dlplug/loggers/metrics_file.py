"""The run's own record of its metrics, one JSON object a line."""

import math
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from dlplug.errors import StorageError
from dlplug.storage.json_lines import append_rows, read_rows, replace_rows

PLACE = ("step", "epoch", "time")


class MetricsFile(Logger):
    """Append ``{"step": ..., "epoch": ..., "time": ..., <metric>: <value>, ...}`` to a file.

    ``step`` is the number of optimizer steps taken, ``epoch`` counts from 0 and is null in a test,
    ``time`` is in seconds since 1970. Values that are not finite are the strings ``nan``, ``inf``
    and ``-inf``, which `float` understands; JSON has no numbers for them.

    Args:
        path: The file; None until the run folder is known, and nothing is written before that.
        goes_on: What a disk that is full or fails does. True: it is said on standard error, and the
            lines are kept and written when there is room, at the end at the latest. False: it is
            raised.
    """

    def __init__(self, path: Path | None = None, goes_on: bool = False):
        super().__init__()
        self.path = path
        self.goes_on = goes_on
        self._waiting: list[dict[str, Any]] = []

    @property
    def name(self) -> str:
        """Of the logger."""
        return "metrics_file"

    @property
    def version(self) -> str:
        """Of the experiment: the run folder says it."""
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append one line; it is on its way to the disk when this returns.

        Raises:
            StorageError: it cannot be written, and ``goes_on`` is False.
        """
        if self.path is None:
            return
        values = {name: float(value) for name, value in metrics.items()}
        epoch = values.pop("epoch", None)
        is_training = not _is_of_test(values)
        place = {
            # While training, Lightning gives the index of the step just taken, counted from 0;
            # in a test, the number of steps taken, and the number of the epoch to come.
            "step": None if step is None else step + is_training,
            "epoch": int(epoch) if epoch is not None and is_training else None,
            "time": round(time.time(), 3),
        }
        self._waiting.append(_plain(place | values))
        try:
            self._write()
        except StorageError as error:
            if not self.goes_on:
                raise
            if len(self._waiting) == 1:  # once, until there is room again
                print(f"{error}\nthe training goes on; the metrics are kept", file=sys.stderr)

    def finalize(self, status: str) -> None:
        """Write what is left.

        Raises:
            StorageError: it cannot be written, and nothing else has ended the training.
        """
        try:
            self._write()
        except StorageError:
            if status == "success":
                raise

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run folder holds the whole config."""

    def _write(self) -> None:
        if self._waiting:
            append_rows(self.path, self._waiting)
            self._waiting = []


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file; one torn by a crash is left out."""
    return [{k: v if k in PLACE else float(v) for k, v in row.items()} for row in read_rows(path)]


def cut_metrics(path: Path, step: int, pending: Mapping[str, Any] | None, is_over: bool) -> None:
    """Take out what a training that continues after ``step`` will write again.

    Args:
        path: The file.
        step: Of the checkpoint.
        pending: The row that was to be written when the checkpoint was, or None; it is added if
            a crash came first.
        is_over: Whether the training came to its end. If not, it will be tested after this step
            again.
    Raises:
        StorageError: the disk is full or fails; the file is as it was.
    """
    rows = [row for row in read_metrics(path) if row["step"] is not None and row["step"] <= step]
    if not is_over:
        rows = [row for row in rows if row["step"] < step or not _is_of_test(_names(row))]
    if pending is not None and not any(_place(row) == _place(pending) for row in rows):
        place = {"step": pending["step"], "epoch": pending["epoch"], "time": round(time.time(), 3)}
        rows.append(place | {k: float(v) for k, v in pending.items() if k not in PLACE})
    replace_rows(path, map(_plain, rows))


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What no two rows share: where in the training, and of what."""
    return row["step"], row["epoch"], frozenset(_names(row))


def _names(row: Mapping[str, Any]) -> list[str]:
    return [name for name in row if name not in PLACE]


def _is_of_test(names: Iterable[str]) -> bool:
    return all(name.startswith("test_") for name in names)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """As in the file: JSON has no numbers that are not finite."""
    return {
        key: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }
