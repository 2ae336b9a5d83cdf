"""Stop the training when a metric no longer improves."""

import math
from collections.abc import Mapping
from typing import Any

import lightning.pytorch.callbacks as lightning_callbacks
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from dlplug.callbacks.numbers.monitor import check_mode, missing_metric
from dlplug.errors import InvalidValueError


class EarlyStopping(lightning_callbacks.EarlyStopping):
    """Stop after ``patience`` validations without an improvement, or at once when not finite.

    A run that goes on from the checkpoint of a training that was stopped is stopped, too, unless
    its patience is larger.

    Args:
        monitor: Name of the metric, such as ``val_loss`` or ``val_accuracy``.
        patience: Validations without an improvement before stopping; >= 1.
        mode: ``min`` when smaller is better, ``max`` when larger is.
        min_delta: A smaller change is no improvement, in units of the metric; >= 0.
    Raises:
        InvalidValueError: a value out of range; while training, an unknown metric.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 10,
        mode: str = "min",
        min_delta: float = 0.0,
    ):
        check_mode("early_stopping", mode)
        if patience < 1 or not (math.isfinite(min_delta) and min_delta >= 0):
            raise InvalidValueError(
                f"early_stopping: patience = {patience}, min_delta = {min_delta};"
                " patience must be 1 or more and min_delta 0 or more"
            )
        super().__init__(monitor, min_delta=min_delta, patience=patience, mode=mode)

    def _validate_condition_metric(self, logs: dict) -> bool:
        if self.monitor not in logs:
            raise missing_metric("early_stopping", self.monitor, logs)
        return True


def has_stopped(state: Mapping[str, Any], patience: int) -> bool:
    """Whether a saved `EarlyStopping` has stopped its training, and would with that patience."""
    reason = EarlyStoppingReason(state.get("stopping_reason", 0))
    if reason == EarlyStoppingReason.PATIENCE_EXHAUSTED:
        return patience <= state["patience"]
    return reason != EarlyStoppingReason.NOT_STOPPED
