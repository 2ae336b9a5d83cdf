"""What is to be predicted: one class, several labels, or numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pyarrow
import pyarrow.compute as pc
import torch
from torch import Tensor

from dlplug.data.spec import DataSpec
from dlplug.data.tables.class_names import in_order, one_spelling, whole
from dlplug.data.tables.columns import Columns
from dlplug.data.tables.preparation import mean_and_std
from dlplug.errors import DataError

# A single column of whole numbers with at most so many different ones is a class.
MAX_NUMBER_CLASSES = 20


@dataclass(frozen=True)
class Target:
    """The target columns of a table.

    Args:
        kind: ``class``, ``labels`` or ``number``.
        columns: Their names.
        classes: Names of the classes of a ``class``.
        mean: Of each ``number`` in the training records.
        std: The same; 1 where they are all equal.
    """

    kind: str
    columns: tuple[str, ...]
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @classmethod
    def find(cls, columns: Columns, names: Sequence[str], kind: str) -> "Target":
        """See what the target is; the classes are those of all records.

        Several columns of 0 and 1 are labels, other columns of numbers are numbers. A single
        column of words is a class, and so is one of at most 20 different whole numbers.

        Args:
            columns: Of the file.
            names: Target columns.
            kind: ``class``, ``labels`` or ``number``; ``auto`` to find out.
        Raises:
            DataError: the columns cannot be that, or every record is bad.
        """
        names = tuple(names)
        if kind == "auto":
            kind = _kind_of(columns, names)
        if kind != "class":
            return cls(kind, names)
        if len(names) != 1:
            raise DataError(
                f"a class is one column, and data.target names {len(names)}",
                fix="set data.target_kind to labels or number",
            )
        words = columns.words(names[0])
        _refuse_missing(columns, names[0], pc.is_null(words).to_numpy())
        classes = in_order(one_spelling(columns, names[0], words), columns.source.decimal)
        if not classes:
            columns.bad.check(0)
        if len(classes) < 2:
            raise DataError(
                f"{columns.source.name}, column {names[0]!r}: every record has the class"
                f" {classes[0]!r}, so there is nothing to learn"
            )
        return cls(kind, names, tuple(classes))

    def read(self, columns: Columns) -> Tensor:
        """Classes ``(N,)`` int64, labels ``(N, C)`` float32, or numbers ``(N, K)`` float64 as in
        the file. A class that is bad is -1.

        Raises:
            DataError: names the first record without a target, or with one that is out of range.
        """
        if self.kind == "class":
            return self._classes(columns)
        values = np.stack([columns.numbers(name) for name in self.columns], axis=1)
        for i, name in enumerate(self.columns):
            _refuse_missing(columns, name, np.isnan(values[:, i]))
            if self.kind == "labels":
                wrong = ~np.isin(values[:, i], (0, 1))
                columns.refuse(
                    wrong, name, lambda row, i=i: f"the label {values[row, i]:g} is not 0 or 1"
                )
        tensor = torch.from_numpy(values)
        return tensor.float() if self.kind == "labels" else tensor

    def fitted(self, values: Tensor, rows: Tensor) -> "Target":
        """With mean and standard deviation of numbers in the training records.

        Args:
            values: As `read` gives them.
            rows: Positions of the training records.
        """
        if self.kind != "number":
            return self
        pairs = [mean_and_std(column.numpy()) for column in values[rows].T]
        return replace(self, mean=tuple(m for m, _ in pairs), std=tuple(s for _, s in pairs))

    def prepared(self, values: Tensor) -> Tensor:
        """As a model is trained on them: numbers standardised, float32."""
        if self.kind != "number":
            return values
        mean, std = (torch.tensor(v, dtype=torch.float64) for v in (self.mean, self.std))
        return ((values - mean) / std).float()

    def facts(self) -> dict:
        """Fields of the data spec."""
        if self.kind == "number":
            return {
                "num_targets": len(self.columns),
                "target_names": self.columns,
                "target_mean": self.mean,
                "target_std": self.std,
            }
        names = self.classes if self.kind == "class" else self.columns
        return {"num_classes": len(names), "class_names": names}

    def to_dict(self) -> dict:
        """Plain data."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, plain: Mapping) -> "Target":
        """What `to_dict` gave."""
        return cls(**{k: v if isinstance(v, str) else tuple(v) for k, v in plain.items()})

    def _classes(self, columns: Columns) -> Tensor:
        (name,) = self.columns
        words = columns.words(name)
        _refuse_missing(columns, name, pc.is_null(words).to_numpy())
        # As it is written before what it means: runs were recorded with several spellings.
        spellings = pc.unique(words).to_pylist()
        decimal = columns.source.decimal
        place_of = {whole(word, decimal): i for i, word in reversed(list(enumerate(self.classes)))}
        place_of = {number: i for number, i in place_of.items() if number is not None}
        place_of |= {word: i for i, word in enumerate(self.classes)}
        places = [place_of.get(word, place_of.get(whole(word, decimal), -1)) for word in spellings]
        found = pc.index_in(words, value_set=pyarrow.array(spellings, pyarrow.string()))
        codes = np.array(places)[found.to_numpy()]
        columns.refuse(
            codes < 0,
            name,
            lambda row: f"class {words[row].as_py()!r} is none of the training's",
            known=", ".join(self.classes),
        )
        return torch.from_numpy(codes.astype(np.int64))


def spec_of(target: Target, **facts) -> DataSpec:
    """The data spec of a table with that target."""
    return DataSpec(**facts, **target.facts())


def _kind_of(columns: Columns, names: tuple[str, ...]) -> str:
    if len(names) == 1 and not columns.is_number(names[0], is_target=True):
        return "class"
    words = next((name for name in names if not columns.is_number(name, is_target=True)), None)
    if words is not None:
        raise DataError(
            f"{columns.source.name}: the target column {words!r} is one of words, and there are"
            f" {len(names)} target columns",
            fix="several targets are numbers, or labels of 0 and 1",
        )
    values = [columns.numbers(name) for name in names]
    known = [column[~np.isnan(column)] for column in values]
    if len(names) > 1:
        is_binary = all(np.isin(column, (0, 1)).all() for column in known)
        return "labels" if is_binary else "number"
    different = np.unique(known[0])
    is_class = len(different) <= MAX_NUMBER_CLASSES and (different == np.round(different)).all()
    return "class" if is_class else "number"


def _refuse_missing(columns: Columns, name: str, is_missing: np.ndarray) -> None:
    fix = "delete the records without a target, or take the word of a class out of data.missing"
    columns.refuse(is_missing, name, lambda row: "the target is missing", fix)
