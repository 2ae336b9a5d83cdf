"""Questions to a run's metrics."""

from collections.abc import Sequence
from typing import Any

from dlplug.loggers.metrics_file import PLACE

Rows = Sequence[dict[str, Any]]
Curve = tuple[list[int], list[float]]


def is_per_epoch(name: str) -> bool:
    """Whether a value is of a whole epoch, by its name."""
    return name.startswith(("train_", "val_")) and not name.endswith("_step")


def curve(rows: Rows, name: str) -> Curve:
    """Epochs, counted from 1, and the last value of each."""
    values = {
        row["epoch"] + 1: row[name] for row in rows if name in row and row["epoch"] is not None
    }
    return list(values), list(values.values())


def best_epoch(rows: Rows, monitor: str, mode: str) -> int | None:
    """The epoch, counted from 1, with the best value; the first of equals. None without values."""
    epochs, values = curve(rows, monitor)
    sign = 1 if mode == "min" else -1
    # NaN is never the best: it compares false with everything, so `min` might keep it.
    found = [(sign * v, e) for e, v in zip(epochs, values, strict=True) if v == v]
    return min(found)[1] if found else None


def metrics_of_epoch(rows: Rows, epoch: int | None) -> dict[str, float]:
    """What was logged per epoch in one epoch, counted from 1; in the last one for None."""
    names = {name: None for row in rows for name in row if name not in PLACE and is_per_epoch(name)}
    values = {}
    for name in names:
        found = dict(zip(*curve(rows, name), strict=True))
        if epoch is None or epoch in found:
            values[name] = found[max(found) if epoch is None else epoch]
    return values
