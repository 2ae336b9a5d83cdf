"""Numbers for each record, or quantiles of them."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from torch import Tensor, nn

from dlplug.data.spec import DataSpec
from dlplug.errors import DataError, InvalidValueError
from dlplug.losses.quantile import check_quantiles
from dlplug.tasks.checks import describe
from dlplug.tasks.output_checks import check_rows
from dlplug.tasks.task import Task


class Regression(Task):
    """Learn K numbers for each record from batches ``(inputs, targets)``, targets ``(B, K)``.

    The architecture gives ``(B, K)``, or with Q quantiles ``(B, K * Q)``: those of the first target
    first. The loss sees standardised targets, as the data module gives them; metrics and
    predictions are in the original unit.

    Args:
        quantiles: Which quantiles to predict for each target, such as ``[0.1, 0.5, 0.9]``, with the
            loss ``quantile``; 0.5, the median, is among them, and is what the metrics measure, but
            for ``quantile_coverage``. None to predict one number, with a loss such as ``mse``.
        slots: Arguments of `Task`.
    Raises:
        InvalidValueError: the quantiles are none, or lack the median.
    """

    slot_defaults: ClassVar = {"loss": "mse", "metrics": ["mae", "rmse", "r2"]}

    def __init__(
        self,
        architecture: nn.Module,
        loss: Callable,
        quantiles: Sequence[float] | None = None,
        **slots,
    ):
        super().__init__(architecture, loss, **slots)
        self.quantiles = checked(quantiles, "regression")

    @classmethod
    def complete(cls, spec: DataSpec, quantiles: Sequence[float] | None = None) -> DataSpec:
        """One output for each target, or for each quantile of each target."""
        quantiles = checked(quantiles, "regression")
        if spec.num_targets is None:
            raise DataError(
                "the data has no numbers to predict: it publishes no num_targets",
                fix="use a task for what it has, such as classification",
            )
        width = spec.num_targets * len(quantiles or (1,))
        return replace(spec, num_outputs=width, quantiles=quantiles, per_position=False)

    def measured(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Predictions (the medians) and targets ``(B, K)`` in the original unit, float64."""
        predicted = self.predicted(output)
        if self.quantiles is not None:
            predicted = predicted[..., self.quantiles.index(0.5)]
        return predicted, self._in_unit(target)

    def measured_besides(self, output: Tensor, batch: Any) -> dict[str, Tensor]:
        """All quantiles, rising and in the original unit, where quantiles are predicted."""
        return {} if self.quantiles is None else {"predicted_quantiles": self.predicted(output)}

    def predicted(self, output: Tensor) -> Tensor:
        """``(B, K)``, or ``(B, K, Q)`` with rising quantiles, in the original unit, float64."""
        if self.quantiles is None:
            return self._in_unit(output)
        values_BKQ = output.unflatten(-1, (-1, len(self.quantiles)))
        # Quantiles that a network gets in the wrong order: sorting them never adds to the error
        # (Chernozhukov et al. 2010, Econometrica 78(3), proposition 4).
        values_BKQ = values_BKQ.sort(dim=-1).values
        return self._in_unit(values_BKQ.transpose(1, 2)).transpose(1, 2)

    def prediction_table(self, predictions: Tensor) -> tuple[list[str], Iterable[list]]:
        """One column for each target, or for each of its quantiles: ``price_q0.9``."""
        names = self.data_spec.target_names
        names = names or tuple(f"target_{i}" for i in range(predictions.shape[1]))
        if self.quantiles is not None:
            names = tuple(f"{name}_q{q:g}" for name in names for q in self.quantiles)
        return list(names), self._cells(predictions)

    def check_output(self, output: Any, batch: Any) -> None:
        """Targets ``(B, K)``, and one output for each quantile of each."""
        inputs, target = batch
        if not isinstance(target, Tensor) or target.ndim != 2 or not target.is_floating_point():
            raise DataError(
                f"a Regression task needs targets (B, K) float32, the data gives {describe(target)}"
            )
        width = target.shape[1] * len(self.quantiles or (1,))
        check_rows(output, inputs, width, "targets" if self.quantiles is None else "quantiles")

    def _in_unit(self, values: Tensor) -> Tensor:
        """Standardised values ``(..., K)`` in the original unit, float64.

        In float32 nothing would be left of the differences between targets around 1e9. The unit is
        no buffer: a training in half precision would round those.
        """
        # MPS has no float64.
        values = (values.cpu() if values.device.type == "mps" else values).double()
        spec = self.data_spec
        if spec.target_std is not None:
            values = values * values.new_tensor(spec.target_std)
        return values if spec.target_mean is None else values + values.new_tensor(spec.target_mean)

    def _cells(self, predictions: Tensor) -> list[list]:
        """Rows of a table of predictions ``(B, ..., K)`` or ``(B, ..., K, Q)`` in their unit."""
        rows = predictions.flatten(1).tolist()
        if self.data_spec.target_std is None or not rows:
            return rows
        stds = [std for std in self.data_spec.target_std for _ in self.quantiles or (1,)]
        stds *= len(rows[0]) // len(stds)
        return [[in_digits(*pair) for pair in zip(row, stds, strict=True)] for row in rows]


def in_digits(value: float, std: float) -> str:
    """A number with six digits, or with more where they lie above a millionth of a spread.

    Args:
        value: Any.
        std: The spread, above 0: 1000000002.5 has six digits of a spread of 10 in its last ones.
    """
    ratio = abs(value) / std
    more = math.ceil(math.log10(ratio)) if 1 < ratio < math.inf else 0
    # Beyond 17 digits float64 holds nothing.
    return f"{value:.{min(6 + more, 17)}g}"


def checked(quantiles: Sequence[float] | None, task: str) -> tuple[float, ...] | None:
    """The quantiles as a tuple.

    Args:
        quantiles: Of the config.
        task: Its name, for the message.
    Raises:
        InvalidValueError: they are none, or lack the median.
    """
    if quantiles is None:
        return None
    check_quantiles(quantiles, f"task {task}")
    if 0.5 not in quantiles:
        raise InvalidValueError(
            f"task {task}: quantiles = {list(quantiles)} lack 0.5",
            fix="add 0.5, the median: it is what the metrics measure",
        )
    return tuple(quantiles)
