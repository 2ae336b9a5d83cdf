"""Any number of labels for each record."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar

from torch import Tensor

from dlplug.data.spec import DataSpec
from dlplug.errors import DataError
from dlplug.tasks.checks import describe
from dlplug.tasks.output_checks import check_rows
from dlplug.tasks.task import Task

# From this probability on a label counts as present.
THRESHOLD = 0.5


class MultilabelClassification(Task):
    """Learn which of C labels each record has, from batches ``(inputs, labels)``.

    The architecture gives scores ``(B, C)``; the loss compares them with labels ``(B, C)`` float32
    of 0 and 1, the metrics compare probabilities (sigmoid) with them. C is the data's
    ``num_classes``. Arguments as for `Task`.
    """

    slot_defaults: ClassVar = {
        "loss": "binary_cross_entropy",
        "metrics": ["multilabel_f1", "multilabel_auroc"],
    }

    @classmethod
    def complete(cls, spec: DataSpec) -> DataSpec:
        """One output for each label."""
        if spec.num_classes is None:
            raise DataError("the data has no labels: it publishes no num_classes")
        return replace(spec, num_outputs=spec.num_classes, per_position=False)

    def measured(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities ``(B, C)`` and labels ``(B, C)`` int64."""
        return self.predicted(output), target.long()

    def predicted(self, output: Tensor) -> Tensor:
        """The probability of each label ``(B, C)``, float32 or float64."""
        return (output if output.element_size() > 4 else output.float()).sigmoid()

    def prediction_table(self, predictions: Tensor) -> tuple[list[str], Iterable[list]]:
        """The labels of probability 0.5 or more, parted by ``;``, and the probability of each."""
        names = self.data_spec.class_names or tuple(map(str, range(predictions.shape[1])))
        rows = predictions.tolist()
        chosen = (
            ";".join(name for name, p in zip(names, row, strict=True) if p >= THRESHOLD)
            for row in rows
        )
        table = ([labels, *row] for labels, row in zip(chosen, rows, strict=True))
        return ["predicted", *(f"p_{name}" for name in names)], table

    def check_output(self, output: Any, batch: Any) -> None:
        """Scores for each label, and labels that are 0 or 1."""
        inputs, labels = batch
        if not isinstance(labels, Tensor) or labels.ndim != 2 or not labels.is_floating_point():
            raise DataError(
                "a MultilabelClassification task needs labels (B, C) float32 of 0 and 1, the data"
                f" gives {describe(labels)}",
                fix="for one class per record use the task classification",
            )
        check_rows(output, inputs, labels.shape[1], "labels")
        wrong = (labels != 0) & (labels != 1)
        if wrong.any():
            raise DataError(f"label {float(labels[wrong][0]):g} is neither 0 nor 1")
