"""Learning rate that falls when a metric no longer improves."""

import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from dlplug.errors import InvalidValueError


class Plateau(ReduceLROnPlateau):
    """torch's scheduler, which also knows the name of its metric."""

    monitor: str

    def state_dict(self) -> dict[str, Any]:
        """What was counted; the name of the metric is the config's."""
        return {key: value for key, value in super().state_dict().items() if key != "monitor"}


def plateau(
    optimizer: Optimizer,
    monitor: str = "val_loss",
    mode: str = "min",
    factor: float = 0.1,
    patience: int = 10,
    threshold: float = 1e-4,
    cooldown: int = 0,
    min_lr: float = 0.0,
) -> ReduceLROnPlateau:
    """Multiply the learning rate by ``factor`` after more than ``patience`` epochs without gain.

    Args:
        optimizer: Whose learning rates are scaled.
        monitor: Name of the metric, such as ``val_loss`` or ``val_accuracy``.
        mode: ``min`` when smaller is better, ``max`` when larger is.
        factor: Of each fall, in ``(0, 1)``.
        patience: Epochs without an improvement that are let pass; >= 0.
        threshold: A smaller change, as a share of the best value, is no improvement; >= 0.
        cooldown: Epochs after a fall in which nothing is counted; >= 0.
        min_lr: No learning rate falls below it; >= 0.
    Returns:
        Scheduler to be stepped with the metric after every epoch; ``scheduler.monitor`` names it.
    Raises:
        InvalidValueError: a value out of range.
    """
    if mode not in ("min", "max"):
        raise InvalidValueError(f"scheduler: mode = {mode!r}", known="min, max")
    if not 0 < factor < 1:
        raise InvalidValueError(f"scheduler: factor = {factor} is not in (0, 1)")
    for name, value in (
        ("patience", patience),
        ("threshold", threshold),
        ("cooldown", cooldown),
        ("min_lr", min_lr),
    ):
        if not (math.isfinite(value) and value >= 0):
            raise InvalidValueError(f"scheduler: {name} = {value} is not a number from 0 on")
    scheduler = Plateau(
        optimizer,
        mode,
        factor=factor,
        patience=patience,
        threshold=threshold,
        cooldown=cooldown,
        min_lr=min_lr,
    )
    scheduler.monitor = monitor
    return scheduler
