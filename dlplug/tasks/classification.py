"""One class for each record."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from torch import Tensor

from dlplug.data.spec import DataSpec
from dlplug.errors import DataError
from dlplug.tasks.output_checks import check_rows
from dlplug.tasks.task import Task


class Classification(Task):
    """Learn the class of each record, one of two or more, from batches ``(inputs, labels)``.

    The architecture gives scores ``(B, C)``; the loss compares them with labels ``(B,)`` int64, the
    metrics compare probabilities ``(B, C)``. C is the data's ``num_classes``. Arguments as for
    `Task`.
    """

    @classmethod
    def complete(cls, spec: DataSpec) -> DataSpec:
        """One output for each class.

        Raises:
            DataError: the data has numbers to predict.
        """
        if spec.num_classes is None and spec.num_targets is not None:
            raise DataError(
                "the data has numbers to predict, and no classes: it publishes num_targets and no"
                " num_classes",
                fix=f"set task: {'regression' if spec.horizon is None else 'forecasting'}",
            )
        return replace(spec, num_outputs=spec.num_classes, per_position=False)

    def measured(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities ``(B, C)`` and labels ``(B,)``."""
        return probabilities(output), target

    def predicted(self, output: Tensor) -> Tensor:
        """Probabilities ``(B, C)``, float32 or float64."""
        return probabilities(output)

    def prediction_table(self, predictions: Tensor) -> tuple[list[str], Iterable[list]]:
        """The class, and the probability of each."""
        names = self.data_spec.class_names or tuple(map(str, range(predictions.shape[1])))
        best = predictions.argmax(dim=1).tolist()
        rows = ([names[b], *row] for b, row in zip(best, predictions.tolist(), strict=True))
        return ["predicted", *(f"p_{name}" for name in names)], rows

    def check_output(self, output: Any, batch: Any) -> None:
        """Scores for each class, and labels within range."""
        inputs, labels = batch
        check_rows(output, inputs, self.data_spec.num_classes, "classes")
        wrong = (labels < 0) | (labels >= output.shape[1])
        if wrong.any():
            raise DataError(
                f"label {int(labels[wrong][0])} for an architecture of {output.shape[1]} scores"
            )


def probabilities(scores: Tensor) -> Tensor:
    """Softmax of scores ``(B, C)``; half precision is raised to float32 first."""
    return (scores if scores.element_size() > 4 else scores.float()).softmax(dim=-1)
