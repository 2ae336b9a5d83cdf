"""Base of data modules whose records fit into memory and have one class each."""

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from dlplug.data.records import Records
from dlplug.data.split_data import SplitData
from dlplug.errors import DataError


class LabelledData(SplitData):
    """Records with one class each, divided so that each class has the same shares everywhere.

    A subclass gives `read`, ``data_spec`` and `prepare_input`; arguments as for `SplitData`.
    """

    @abstractmethod
    def read(self) -> tuple[Tensor, Tensor]:
        """All records: inputs ``(N, ...)`` float32 ready for a model, labels ``(N,)`` int64."""

    @abstractmethod
    def prepare_input(self, array: np.ndarray) -> Tensor:
        """Inputs from outside, raw as in the source, as the batch that a model takes.

        Raises:
            DataError: the shape is not that of this data.
        """

    def load(self) -> Mapping[str, Records]:
        """See `SplitData.load`; the labels are checked.

        Raises:
            DataError: a label is out of range.
        """
        inputs, labels = self.read()
        indices = self.division.rows(len(labels), classes=labels)
        check_labels(labels, indices, self.data_spec.num_classes)
        return {name: Records(inputs, labels, rows) for name, rows in indices.items()}


def check_labels(labels: Tensor, splits: Mapping[str, Tensor], num_classes: int) -> None:
    """Every label is one of ``0 ... num_classes - 1``.

    Raises:
        DataError: names the split, the record and its label.
    """
    wrong = (labels < 0) | (labels >= num_classes)
    if not wrong.any():
        return
    record = int(torch.nonzero(wrong)[0])
    split = next(name for name, indices in splits.items() if (indices == record).any())
    raise DataError(
        f"{split} split, record {record}: label {int(labels[record])} is out of range",
        known=f"num_classes = {num_classes}, so labels are 0 ... {num_classes - 1}",
        fix=f"{int(wrong.sum())} of {len(labels)} labels are wrong: correct them, or num_classes",
    )
