"""The run's own record of its metrics, one JSON object a line."""

import json
import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

PLACE = ("step", "epoch", "time")


class MetricsFile(Logger):
    """Append ``{"step": ..., "epoch": ..., "time": ..., <metric>: <value>, ...}`` to a file.

    ``step`` is the number of optimizer steps taken, ``epoch`` counts from 0 and is null in a test,
    ``time`` is in seconds since 1970. Values that are not finite are the strings ``nan``, ``inf``
    and ``-inf``, which `float` understands; JSON has no numbers for them.

    Args:
        path: The file; None until the run folder is known, and nothing is written before that.
    """

    def __init__(self, path: Path | None = None):
        super().__init__()
        self.path = path

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
        """Append one line; it is on its way to the disk when this returns."""
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
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(place | values))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run folder holds the whole config."""


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file; a last line torn by a crash is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        rows.append({k: v if k in PLACE else float(v) for k, v in row.items()})
    return rows


def cut_metrics(path: Path, step: int, pending: Mapping[str, Any] | None, is_over: bool) -> None:
    """Take out what a training that continues after ``step`` will write again.

    Args:
        path: The file.
        step: Of the checkpoint.
        pending: The row that was to be written when the checkpoint was, or None; it is added if
            a crash came first.
        is_over: Whether the training came to its end. If not, it will be tested after this step
            again.
    """
    rows = [row for row in read_metrics(path) if row["step"] is not None and row["step"] <= step]
    if not is_over:
        rows = [row for row in rows if row["step"] < step or not _is_of_test(_names(row))]
    if pending is not None and not any(_place(row) == _place(pending) for row in rows):
        place = {"step": pending["step"], "epoch": pending["epoch"], "time": round(time.time(), 3)}
        rows.append(place | {k: float(v) for k, v in pending.items() if k not in PLACE})
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text("".join(map(_line, rows)), encoding="utf-8")
    temporary.replace(path)


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What no two rows share: where in the training, and of what."""
    return row["step"], row["epoch"], frozenset(_names(row))


def _names(row: Mapping[str, Any]) -> list[str]:
    return [name for name in row if name not in PLACE]


def _is_of_test(names: Iterable[str]) -> bool:
    return all(name.startswith("test_") for name in names)


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps({key: _json(value) for key, value in row.items()}) + "\n"


def _json(value: Any) -> Any:
    is_number = not isinstance(value, float) or math.isfinite(value)
    return value if is_number else str(value)
