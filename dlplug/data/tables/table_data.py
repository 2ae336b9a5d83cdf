"""Base of data modules over one table: columns to inputs and targets, and what was learned."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dlplug.data.division import WAYS
from dlplug.data.keys import Keys
from dlplug.data.missing import MISSING
from dlplug.data.records import ArrayRecords, Records
from dlplug.data.spec import DataSpec
from dlplug.data.split_data import SplitData
from dlplug.data.tables.source import Source
from dlplug.data.tables.stated_columns import refuse_other_columns
from dlplug.errors import InvalidValueError

if TYPE_CHECKING:
    from dlplug.data.tables.columns import Columns
    from dlplug.data.tables.preparation import Preparation

# What a column of the division says, by the way of dividing.
SAYS = {"column": "split", "group": "group", "time": "time"}
CHOICES = {
    "categories": ("one_hot", "index"),
    "target_kind": ("auto", "class", "labels", "number"),
    "unknown_categories": ("error", "accept"),
}


class TableData(SplitData):
    """Records of a table.

    A column is one of numbers when at least 90 % of its known cells are numbers (any other cell is
    then an error), else one of words. Means, standard deviations and lists of words come from the
    training records alone. ``split_by`` names a column, which is then no feature.

    Args:
        path: The file; ``package:NAME/inner/path`` for one inside an installed package.
        target: Column to predict, or several: of numbers, or of labels 0 and 1.
        target_kind: ``class``, ``labels``, ``number``, or ``auto``: several columns of 0 and 1 are
            labels; one column of words, or of at most 20 different whole numbers, is a class;
            everything else is a number.
        features: Columns to predict from; None for all others.
        ignore: Columns to leave out.
        categorical: Columns of numbers that are meant as words, such as a postcode.
        categories: Of words: ``one_hot``, columns of 0 and 1 among the ``(B, F)`` inputs, or
            ``index``, ``x_cat`` beside ``x_cont`` for architectures with embeddings.
        max_categories: Most different words of a column.
        unknown_categories: Words of ``predict --input`` that training did not have: ``error``, or
            ``accept`` them as unknown, as those of the validation and test records always are.
        missing_indicators: Whether a column of 0 and 1 says where a number is missing.
        missing: Cells that mean that nothing is known.
        weight_column: How often a record is drawn, for ``sampling: weighted``. It is no feature.
        loading: Arguments of `SplitData`.
    Raises:
        InvalidValueError: a value that is none of those above.
    """

    split_keys = dict.fromkeys(WAYS, "a column")
    learns = ("features", "target")

    def __init__(
        self,
        path: str,
        target: str | list[str],
        *,
        target_kind: str = "auto",
        features: Sequence[str] | None = None,
        ignore: Sequence[str] = (),
        categorical: Sequence[str] = (),
        categories: str = "one_hot",
        max_categories: int = 256,
        unknown_categories: str = "error",
        missing_indicators: bool = True,
        missing: Sequence[str] = MISSING,
        weight_column: str | None = None,
        **loading,
    ):
        super().__init__(**loading)
        given = {
            "categories": categories,
            "target_kind": target_kind,
            "unknown_categories": unknown_categories,
        }
        for name, value in given.items():
            if value not in CHOICES[name]:
                raise InvalidValueError(f"data: {name} = {value!r}", known=", ".join(CHOICES[name]))
        if (self.sampling == "weighted") != (weight_column is not None):
            raise InvalidValueError(
                f"data: weight_column = {weight_column!r} with sampling = {self.sampling!r}",
                fix="weight_column goes with sampling: weighted",
            )
        self.path = path
        self.target = (target,) if isinstance(target, str) else tuple(target)
        is_twice = len(set(self.target)) < len(self.target)
        if not self.target or is_twice or max_categories < 1:
            raise InvalidValueError(
                f"data: target = {list(self.target)}, max_categories = {max_categories};"
                " name each target column once, and allow 1 category or more"
            )
        if features is not None and (not features or len(set(features)) < len(features)):
            raise InvalidValueError(
                f"data: features = {list(features)}",
                known="one column or more, each once; without it, all that have no other role",
            )
        self.division.refuse_role(*self.target, *(features or ()))
        self.target_kind = target_kind
        self.features = None if features is None else tuple(features)
        self.ignore = tuple(ignore)
        self.categorical = tuple(categorical)
        self.categories = categories
        self.max_categories = max_categories
        self.unknown_categories = unknown_categories
        self.missing_indicators = missing_indicators
        self.missing = tuple(missing)
        self.weight_column = weight_column
        self._spec: DataSpec | None = None

    @property
    def data_spec(self) -> DataSpec | None:
        """Known after `load`, or from the run whose model is used."""
        return self._spec or self.adopted

    def adopt(self, spec: DataSpec) -> None:
        """See `SplitData.adopt`."""
        super().adopt(spec)
        refuse_other_columns(self, spec.preparation)

    @abstractmethod
    def read(self, path: str | Path) -> Source:
        """The file as raw columns.

        Raises:
            DlplugError: it cannot be read, or its library is not installed.
        """

    def load(self) -> Mapping[str, Records]:
        """See `SplitData.load`.

        Raises:
            DataError: a column or a target is missing, or a cell is bad; file, line and column are
                named.
        """
        source = self.read(self.path)
        # They need pyarrow, and reading the file has made sure of it.
        from dlplug.data.tables.columns import Columns
        from dlplug.data.tables.contract import warn_of_leaks
        from dlplug.data.tables.preparation import Preparation
        from dlplug.data.tables.target import Target, spec_of

        bad = source.bad_rows
        saved = self.adopted.preparation if self.adopted else None
        columns = Columns(source, self.missing, bad, is_learned=saved is not None)
        names = self._feature_names(source)
        target = (
            Target.from_dict(saved["target"])
            if saved
            else Target.find(columns, self.target, self.target_kind)
        )
        values = target.read(columns)
        inputs = Preparation.from_dict(saved["features"]) if saved else None
        self._read_features(columns, names, inputs)
        weights = self._weights(columns)
        keys = self._keys(columns)
        is_class = target.kind == "class"
        rows = self.divided(bad, len(values), keys, values if is_class else None)
        values = values.clamp(min=0) if is_class else values
        learned = bad.good(rows["train"])
        if inputs is None:
            target = target.fitted(values, learned)
            inputs = Preparation.fit(
                columns,
                names,
                self.categorical,
                learned,
                encoding=self.categories,
                indicators=self.missing_indicators,
                max_categories=self.max_categories,
            )
            warn_of_leaks(columns, inputs, target.columns)
        self._spec = spec_of(
            target,
            num_features=inputs.num_continuous or None,
            cat_cardinalities=inputs.cat_cardinalities,
            preparation={"features": inputs.to_dict(), "target": target.to_dict()},
        )
        tensors, targets = inputs.inputs(columns, accept_unknown=True), target.prepared(values)
        return {name: Records(tensors, targets, part, weights) for name, part in rows.items()}

    def read_input(self, path: Path) -> ArrayRecords:
        """Records of another file with the same features; it needs no target.

        Raises:
            DataError: a feature is missing or a cell is bad; file, line and column are named.
        """
        source = self.read(path)
        from dlplug.data.tables.columns import Columns
        from dlplug.data.tables.preparation import Preparation

        if self.data_spec is None:
            self.setup("fit")
        source.bad_rows.check(0)
        preparation = Preparation.from_dict(self.data_spec.preparation["features"])
        columns = Columns(source, self.missing, is_learned=True)
        return ArrayRecords(preparation.inputs(columns, self.unknown_categories == "accept"))

    def _feature_names(self, source: Source) -> list[str]:
        """Features in the order of the file."""
        others = [name for name in (self.division.key, self.weight_column) if name]
        apart = {*self.target, *self.ignore, *others}
        for name in (*apart, *(self.features or ()), *self.categorical):
            source.column(name)
        names = self.features
        if names is None:
            names = [name for name in source.table.column_names if name not in apart]
        twice = next((name for name in names if name in apart), None)
        if twice is not None or not names:
            raise InvalidValueError(
                f"data.features: {twice!r} is a target, ignored, or says split or weight"
                if names
                else f"data: {source.name} has no column left to predict from",
                fix="let each column have one role",
            )
        lost = next((name for name in self.categorical if name not in names), None)
        if lost is not None:
            raise InvalidValueError(f"data.categorical: {lost!r} is no feature")
        return list(names)

    def _read_features(
        self, columns: "Columns", names: Sequence[str], learned: "Preparation | None"
    ) -> None:
        """Find all bad cells before anything is learned, or divided; a column stays what it was."""
        if learned is not None:
            names = [column.name for column in learned.numbers]
        for name in names:
            # Asked in any case: numbers with a comma have an error of their own.
            if name not in self.categorical and (columns.is_number(name) or learned is not None):
                columns.numbers(name)

    def _keys(self, columns: "Columns") -> Keys | None:
        name = self.division.key
        if name is None:
            return None
        is_number = self.division.by == "time" and columns.is_number(name)
        values = columns.numbers(name) if is_number else columns.words(name).to_pylist()
        wrong = np.array([value is None or value != value for value in values])
        columns.refuse(wrong, name, lambda row: f"the {SAYS[self.division.by]} is missing")
        return Keys(values, lambda row: columns.source.cell(row, name))

    def _weights(self, columns: "Columns") -> Tensor | None:
        if self.weight_column is None:
            return None
        weights = columns.numbers(self.weight_column)
        wrong = ~(weights >= 0)
        what = "a weight must be a number of 0 or more"
        columns.refuse(wrong, self.weight_column, lambda row: what)
        return torch.from_numpy(np.where(wrong, 0.0, weights))
