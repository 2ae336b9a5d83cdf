"""One long series, to be continued."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dlplug.data.keys import Keys
from dlplug.data.paths import resolve_path
from dlplug.data.records import ArrayRecords
from dlplug.data.series.classification import deviation
from dlplug.data.series.gaps import check_fill, fill_gaps
from dlplug.data.series.table import SECONDS, Table, calendar_features, read_table
from dlplug.data.series.windows import ForecastWindows
from dlplug.data.spec import DataSpec
from dlplug.data.split_data import SplitData
from dlplug.errors import DataError, InvalidValueError


class SeriesForecasting(SplitData):
    """Windows of a table in the order of time; batches ``(B, T, F)`` and ``(B, horizon, K)``.

    The rows are divided by time: the first part trains, the last one tests. A window belongs to
    the part in which all its targets lie; its past may reach into the part before. The first K
    features of a window are the past of its targets. All is standardised by means and standard
    deviations of the training rows.

    So ``split: fraction`` already is a division by time. With ``split: column``, a column that
    ``split_by`` names says where the parts begin: train, then validation, then test, each in one
    stretch. There is no ``group``: the neighbours of a window are nearly the window itself, so
    that rows of the test would be known from the training.

    Args:
        path: A file of columns, ``.csv`` or ``.tsv``, or ``package:NAME/inner/path``.
        targets: Columns to forecast, one or several.
        features: Further columns whose past helps.
        time: Column of dates or numbers, which must rise evenly; None to trust the order.
        calendar: Features of the date: ``day``, ``week``, ``year``, each as sine and cosine.
        input_length: T, steps of the past.
        horizon: Steps to forecast.
        stride: Steps from one training window to the next.
        fill: What is done where values are missing: ``error``, or ``forward``, the value before.
        loading: Arguments of `SplitData`, such as ``batch_size``.
    Raises:
        InvalidValueError: a value out of range.
    """

    split_keys = dict.fromkeys(["column"], "a column")
    learns = ("mean", "std")

    def __init__(
        self,
        path: str,
        targets: str | list[str],
        features: Sequence[str] = (),
        time: str | None = None,
        calendar: Sequence[str] = (),
        input_length: int = 48,
        horizon: int = 1,
        stride: int = 1,
        fill: str = "error",
        **loading,
    ):
        super().__init__(**loading)
        check_fill(fill, "series_forecasting")
        if min(input_length, horizon, stride) < 1:
            raise InvalidValueError(
                f"data series_forecasting: input_length = {input_length}, horizon = {horizon},"
                f" stride = {stride}; all must be 1 or more"
            )
        if set(calendar) - set(SECONDS) or (calendar and time is None):
            raise InvalidValueError(
                f"data series_forecasting: calendar = {list(calendar)}, time = {time!r}",
                known=f"{', '.join(SECONDS)}, of a column of time",
            )
        self.path = path
        self.targets = [targets] if isinstance(targets, str) else list(targets)
        self.columns = [*self.targets, *features]
        if not self.targets or len(set(self.columns)) != len(self.columns):
            raise InvalidValueError(
                f"data series_forecasting: targets = {self.targets}, features = {list(features)}",
                known="one target or more, and each column once",
            )
        self.division.refuse_role(*self.columns, time)
        self.time, self.calendar = time, list(calendar)
        self.input_length, self.horizon, self.stride = input_length, horizon, stride
        self.fill = fill
        self._spec: DataSpec | None = None

    @property
    def data_spec(self) -> DataSpec | None:
        """Features, lengths and the targets' statistics, once the file has been read."""
        return self._spec or self.adopted

    def adopt(self, spec: DataSpec) -> None:
        """See `SplitData.adopt`.

        Raises:
            InvalidValueError: windows would be of other lengths than in the training.
        """
        ours, theirs = (self.input_length, self.horizon), (spec.sequence_length, spec.horizon)
        if None not in theirs and ours != theirs:
            raise InvalidValueError(
                f"data series_forecasting: input_length = {ours[0]}, horizon = {ours[1]}; the model"
                f" was trained with {theirs[0]} and {theirs[1]}",
                fix="leave both as they were",
            )
        super().adopt(spec)

    def stated(self) -> dict[str, Any]:
        """See `SplitData.stated`."""
        return {"target_names": self.targets}

    def prepared_by(self) -> dict[str, Any]:
        """See `SplitData.prepared_by`."""
        return {"features": self.columns[len(self.targets) :], "calendar": self.calendar}

    def load(self) -> Mapping[str, ForecastWindows]:
        """Read, divide by time, standardise.

        Raises:
            DataError: the file is missing or damaged, or has too few rows.
        """
        path, key = resolve_path(self.path), self.division.key
        table = read_table(path, self.columns, self.time, key)
        raw = self._features(table, path)
        keys = Keys(table.texts, lambda row: f"{path}, line {table.lines[row]}, column {key!r}")
        parts = self.division.ranges(len(raw), None if key is None else keys)
        for name, rows in parts.items():
            needed = self.horizon + (self.input_length if name == "train" else 0)
            # An empty part has been asked for by a share of 0.
            if rows and len(rows) < needed:
                raise DataError(
                    f"data series_forecasting: {len(rows)} rows in the {name} split",
                    known=f"a window needs {needed} there",
                    fix="give more rows, or a smaller input_length or horizon",
                )
        self._publish(raw[parts["train"].start : parts["train"].stop])
        values = self._standardised(raw)
        shape = (len(self.targets), self.input_length, self.horizon)
        return {
            name: ForecastWindows(values, *shape, rows, self.stride if name == "train" else 1)
            for name, rows in parts.items()
        }

    def read_input(self, path: Path) -> ArrayRecords:
        """The end of a file with the same columns: the forecast is of what follows its last row.

        Raises:
            DataError: the file is missing or damaged, or has too few rows.
        """
        if self.data_spec is None:
            raise DataError("data series_forecasting: nothing has been learned yet")
        path = Path(path)
        raw = self._features(read_table(path, self.columns, self.time), path)
        if len(raw) < self.input_length:
            raise DataError(f"{path}: {len(raw)} rows", known=f"{self.input_length} or more")
        return ArrayRecords(self._standardised(raw[-self.input_length :])[None])

    def _features(self, table: Table, path: Path) -> np.ndarray:
        values = fill_gaps(
            table.values,
            self.fill,
            lambda row, column: f"{path}, line {table.lines[row]}, column {self.columns[column]!r}",
        )
        if not self.calendar:
            return values
        if not table.is_dated:
            raise DataError(
                f"{path}: column {self.time!r} holds numbers, and data.calendar needs dates",
                fix="delete data.calendar",
            )
        return np.concatenate([values, calendar_features(table.times, self.calendar)], axis=1)

    def _publish(self, training: np.ndarray) -> None:
        if self.adopted is not None:
            self._spec = self.adopted
            return
        mean, std = training.mean(axis=0), deviation(training)
        count = len(self.targets)
        self._spec = DataSpec(
            num_features=training.shape[1],
            sequence_length=self.input_length,
            horizon=self.horizon,
            num_targets=count,
            target_names=tuple(self.targets),
            target_mean=tuple(mean[:count].tolist()),
            target_std=tuple(std[:count].tolist()),
            naive_error=naive_error(training[:, :count], self.horizon),
            preparation=self.preparation(mean=mean.tolist(), std=std.tolist()),
        )

    def _standardised(self, raw: np.ndarray) -> Tensor:
        mean, std = (np.array(self.data_spec.preparation[key]) for key in self.learns)
        return torch.from_numpy(((raw - mean) / std).astype(np.float32))


def naive_error(values: np.ndarray, horizon: int) -> tuple[float, ...]:
    """Mean absolute change of each column over 1 ... ``horizon`` steps; 1 for what never changes.

    Args:
        values: Shape ``(T, K)``.
        horizon: Steps to forecast; T is larger.
    """
    changes = [np.abs(values[h:] - values[:-h]).mean(axis=0) for h in range(1, horizon + 1)]
    error = np.mean(changes, axis=0)
    return tuple(np.where(error > 0, error, 1.0).tolist())
