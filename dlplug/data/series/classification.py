"""Whole series with a class each."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dlplug.data.bad_rows import BadRows
from dlplug.data.deviation import divisor
from dlplug.data.division import WAYS
from dlplug.data.keys import Keys
from dlplug.data.outside_inputs import read_array
from dlplug.data.paths import resolve_path
from dlplug.data.records import ArrayRecords, Records
from dlplug.data.series.gaps import check_fill, fill_gaps
from dlplug.data.series.series_file import Series, read_series
from dlplug.data.spec import DataSpec
from dlplug.data.split_data import SplitData
from dlplug.data.text.token_data import read_text
from dlplug.errors import DataError, InvalidValueError

STANDARDISED = ("channel", "series", "none")
TEST_FRACTION = 0.2


class SeriesClassification(SplitData):
    """Series of one or several channels; batches ``(B, T, F)`` float32 and classes ``(B,)``.

    Series shorter than T begin with zeros, so that each ends where a network reads its end; after
    standardising, zero is the mean.

    The files of series have no room for more than values and a class. So ``split_by`` is a text
    file beside ``path``, with one line for each of its series in the same order: the split, the
    group, such as a person, or the time of each.

    Args:
        path: A file of series, ``.ts`` or UCR's ``.txt``, or ``package:NAME/inner/path``.
        test_path: A file of test series, as many collections have; None to divide the one file.
        standardise: ``channel``: by the mean and the standard deviation of each channel over the
            training series; ``series``: each channel of each series by its own; ``none``.
        fill: What is done where values are missing: ``error``, or ``forward``, the value before.
        test_fraction: Share of the series kept for the test, 0.2 unless given; only without
            ``test_path``.
        loading: Further arguments of `SplitData`, such as ``batch_size``.
    Raises:
        InvalidValueError: a value out of range, or ``test_fraction`` beside ``test_path``.
    """

    split_keys = dict.fromkeys(WAYS, "a text file with one line for each series")
    sources = ("path", "test_path")
    learns = ("mean", "std")

    def __init__(
        self,
        path: str,
        test_path: str | None = None,
        standardise: str = "channel",
        fill: str = "error",
        test_fraction: float | None = None,
        **loading,
    ):
        if test_path is not None and test_fraction is not None:
            raise InvalidValueError(
                f"data series_classification: test_fraction = {test_fraction} beside test_path",
                fix="delete one of them: the file holds all test series",
            )
        if test_fraction is None:
            test_fraction = TEST_FRACTION if test_path is None else 0.0
        super().__init__(test_fraction=test_fraction, **loading)
        check_fill(fill, "series_classification")
        if standardise not in STANDARDISED:
            raise InvalidValueError(
                f"data series_classification: standardise = {standardise!r}",
                known=", ".join(STANDARDISED),
            )
        self.path, self.test_path = path, test_path
        self.standardise, self.fill = standardise, fill
        self._spec: DataSpec | None = None

    @property
    def data_spec(self) -> DataSpec | None:
        """Channels, length and classes, once the files have been read."""
        return self._spec or self.adopted

    def prepared_by(self) -> dict[str, Any]:
        """See `SplitData.prepared_by`."""
        return {"standardise": self.standardise}

    def load(self) -> Mapping[str, Records]:
        """Read, divide, standardise.

        Raises:
            DataError: a file is missing or damaged, or a series is not like the others.
        """
        file, bad, bad_tests = resolve_path(self.path), BadRows(), BadRows()
        series = [(file, one) for one in read_series(file, bad)]
        first = len(series)
        if self.test_path is not None:
            test_file = resolve_path(self.test_path)
            series += [(test_file, one) for one in read_series(test_file, bad_tests)]
            for row, error in bad_tests.items():
                bad.add(first + row, error)
        values = [
            bad.result(row, one.values, self._filled, one, file)
            for row, (file, one) in enumerate(series)
        ]
        self.check_rows(bad, len(series))
        known = [one.label for row, (_, one) in enumerate(series[:first]) if row not in bad]
        names = self._class_names(known, file)
        labels = torch.tensor(
            [
                bad.result(row, -1, _index, one, names, file)
                for row, (file, one) in enumerate(series)
            ]
        )
        apart = {} if self.test_path is None else {"test": torch.arange(first, len(series))}
        indices = self.divided(
            bad,
            first,
            self._keys(first),
            labels[:first],
            total=len(series),
            apart=dict.fromkeys(apart),
        )
        indices |= apart
        self.leave_out(bad, apart)
        labels = labels.clamp(min=0)
        self._publish(values, bad.good(indices["train"]).tolist(), names)
        inputs = self._batch(values, [f"{file}, line {one.line}" for file, one in series])
        return {name: Records(inputs, labels, rows) for name, rows in indices.items()}

    def read_input(self, path: Path) -> ArrayRecords:
        """A file of series, whose classes are ignored, or a ``.npy`` array ``(N, T, F)``.

        Raises:
            DataError: the file is missing, or its series are not like the training's.
        """
        if self.data_spec is None:
            raise DataError("data series_classification: nothing has been learned yet")
        path = Path(path)
        if path.suffix != ".npy":
            found = read_series(path)
            values = [self._filled(one, path) for one in found]
            return ArrayRecords(self._batch(values, [f"{path}, line {s.line}" for s in found]))
        array = read_array(path)
        if array.ndim not in (2, 3) or array.dtype.kind not in "biuf":
            raise DataError(
                f"{path}: an array {array.dtype} of shape {array.shape} holds no series",
                known="numbers (T, F), or several series (N, T, F)",
            )
        array = array.astype(np.float32).reshape(-1, *array.shape[-2:])
        found = [Series(values, None, i) for i, values in enumerate(array)]
        values = [self._filled(one, path) for one in found]
        return ArrayRecords(self._batch(values, [f"{path}, series {s.line}" for s in found]))

    def _keys(self, count: int) -> Keys | None:
        if self.division.key is None:
            return None
        file = resolve_path(self.division.key)
        lines = read_text(file).removesuffix("\n").split("\n")
        if len(lines) != count:
            raise DataError(
                f"{file}: {len(lines)} lines for the {count} series of {self.path}",
                fix="write one line for each series: its split, group or time",
            )
        return Keys(lines, lambda row: f"{file}, line {row + 1}")

    def _filled(self, one: Series, file: Path) -> np.ndarray:
        return fill_gaps(
            one.values,
            self.fill,
            lambda row, column: f"{file}, line {one.line}, channel {column + 1}, value {row + 1}",
        )

    def _class_names(self, labels: Sequence[str | None], file: Path) -> tuple[str, ...]:
        if self.adopted is not None and self.adopted.class_names:
            return self.adopted.class_names
        names = {label for label in labels if label}
        if len(names) < 2:
            raise DataError(f"{file}: {len(names)} classes", known="two or more")
        # Numbers in their order, where all are numbers.
        by_number = all(re.fullmatch("-?[0-9]+", name) for name in names)
        return tuple(sorted(names, key=int if by_number else str))

    def _publish(self, values: list[np.ndarray], rows: list[int], names: tuple) -> None:
        if self.adopted is not None:
            self._spec = self.adopted
            return
        training = np.concatenate([values[i] for i in rows] or values)
        self._spec = DataSpec(
            num_features=training.shape[1],
            sequence_length=max(map(len, values)),
            num_classes=len(names),
            class_names=names,
            preparation=self.preparation(
                mean=training.mean(axis=0, dtype=np.float64).tolist(),
                std=deviation(training).tolist(),
            ),
        )

    def _batch(self, values: Sequence[np.ndarray], places: Sequence[str]) -> Tensor:
        spec = self.data_spec
        batch = torch.zeros(len(values), spec.sequence_length, spec.num_features)
        mean, std = (np.array(spec.preparation[key]) for key in self.learns)
        for row, (series, place) in enumerate(zip(values, places, strict=True)):
            length, channels = series.shape
            if channels != spec.num_features or length > spec.sequence_length:
                raise DataError(
                    f"{place}: {length} values of {channels} channels",
                    known=f"at most {spec.sequence_length} values of {spec.num_features} channels",
                )
            if self.standardise == "series":
                series = (series - series.mean(axis=0, dtype=np.float64)) / deviation(series)
            elif self.standardise == "channel":
                series = (series - mean) / std
            batch[row, -length:] = torch.from_numpy(np.asarray(series, dtype=np.float32))
        return batch


def deviation(values: np.ndarray) -> np.ndarray:
    """Standard deviation of each column of ``(T, F)``, 1 if it never changes: float64 ``(F,)``."""
    return divisor(values, values.std(axis=0, dtype=np.float64))


def _index(one: Series, names: Sequence[str], file: Path) -> int:
    if one.label not in names:
        raise DataError(
            f"{file}, line {one.line}: class {one.label!r} is none of the training's",
            known=", ".join(names),
        )
    return names.index(one.label)
