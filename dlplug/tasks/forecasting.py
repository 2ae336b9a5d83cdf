"""The next values of a series, or quantiles of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from torch import Tensor, nn

from dlplug.data.spec import DataSpec
from dlplug.errors import ConfigError, DataError
from dlplug.tasks.checks import call, describe
from dlplug.tasks.output_checks import check_floating, fix_for_output
from dlplug.tasks.regression import Regression, checked


class Forecasting(Regression):
    """Learn what follows from batches of the past ``(B, T, F)`` and the targets ``(B, H, K)``.

    H is the data's horizon. The architecture gives ``(B, H * K)``, or with Q quantiles
    ``(B, H * K * Q)``. The loss sees ``(B, H, K)`` or ``(B, H, K, Q)`` and standardised targets;
    metrics and predictions are in the original unit.

    Args:
        quantiles: Which quantiles to predict, such as ``[0.1, 0.5, 0.9]``, with the loss
            ``quantile``; 0.5, the median, is among them, and is what the metrics measure, but for
            ``quantile_coverage``. None to predict one number, with a loss such as ``mse``.
        add_last_value: The architecture gives the change since the last known value, which is the
            first K features of the past. For series without a level of their own.
        slots: Arguments of `Task`.
    Raises:
        InvalidValueError: the quantiles are none, or lack the median.
    """

    slot_defaults: ClassVar = {"loss": "mse", "metrics": ["mae", "rmse", "mase"]}

    def __init__(
        self,
        architecture: nn.Module,
        loss: Callable,
        quantiles: Sequence[float] | None = None,
        add_last_value: bool = False,
        **slots,
    ):
        super().__init__(architecture, loss, checked(quantiles, "forecasting"), **slots)
        self.add_last_value = add_last_value

    @classmethod
    def complete(cls, spec: DataSpec, quantiles: Sequence[float] | None = None) -> DataSpec:
        """One output for each target, or quantile of it, of each step."""
        quantiles = checked(quantiles, "forecasting")
        if spec.num_targets is None or spec.horizon is None:
            raise DataError(
                "the data has nothing to forecast: it publishes no horizon and num_targets",
                fix="use data such as series_forecasting",
            )
        width = spec.horizon * spec.num_targets * len(quantiles or (1,))
        return replace(spec, num_outputs=width, quantiles=quantiles, per_position=False)

    def forward(self, inputs: Any) -> Tensor:
        """Standardised forecasts ``(B, H, K)``, or ``(B, H, K, Q)``.

        Raises:
            ConfigError: the architecture gives another number of values.
        """
        output = call(self.architecture, inputs)
        K, Q = self.data_spec.num_targets, len(self.quantiles or (1,))
        width = self.data_spec.horizon * K * Q
        if not isinstance(output, Tensor) or output.ndim != 2 or output.shape[1] != width:
            raise ConfigError(
                f"the architecture gives {describe(output)} for inputs {describe(inputs)}",
                known=f"(B, {width}): {self.data_spec.horizon} steps of {K} targets"
                + (f" of {Q} quantiles" if self.quantiles else ""),
                fix=fix_for_output(output)
                or "leave out the number of outputs: it is filled in from the data",
            )
        check_floating(output, inputs)
        output = output.view(len(output), -1, K, *((Q,) if self.quantiles else ()))
        if not self.add_last_value:
            return output
        last_BK = inputs[:, -1, :K]
        return output + last_BK.view(len(output), 1, K, *((1,) if self.quantiles else ()))

    def predicted(self, output: Tensor) -> Tensor:
        """``(B, H, K)``, or ``(B, H, K, Q)`` with rising quantiles, in the unit, float64."""
        if self.quantiles is None:
            return self._in_unit(output)
        # Sorted for the reason that `Regression` gives.
        values_BHKQ = output.sort(dim=-1).values
        return self._in_unit(values_BHKQ.transpose(2, 3)).transpose(2, 3).contiguous()

    def prediction_table(self, predictions: Tensor) -> tuple[list[str], Iterable[list]]:
        """One row for each window, a column for each step: ``price_h1``, or ``price_h1_q0.9``."""
        names = self.data_spec.target_names
        names = names or tuple(f"target_{i}" for i in range(self.data_spec.num_targets))
        ends = [f"_q{q:g}" for q in self.quantiles] if self.quantiles else [""]
        steps = range(1, self.data_spec.horizon + 1)
        columns = [f"{name}_h{step}{end}" for step in steps for name in names for end in ends]
        return columns, self._cells(predictions)

    def check_output(self, output: Any, batch: Any) -> None:
        """Targets ``(B, H, K)``."""
        target = batch[1]
        shape = (len(output), self.data_spec.horizon, self.data_spec.num_targets)
        if not isinstance(target, Tensor) or target.shape != shape:
            raise DataError(
                f"a Forecasting task needs targets {shape}, the data gives {describe(target)}"
            )
