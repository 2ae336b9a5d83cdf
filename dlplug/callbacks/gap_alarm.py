"""Say when the model begins to learn the training records by heart."""

import math
import sys
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from dlplug.errors import InvalidValueError

ADVICE = (
    "try more data or augmentation (data.transforms), optimizer.weight_decay, dropout, label"
    " smoothing, a smaller architecture, or the callback early_stopping"
)


class GapAlarm(Callback):
    """Warn when the validation loss moves away from the training loss for some validations.

    The gap is ``val_loss - train_loss``. It is told once, on standard error, when it has grown at
    each of the last ``patience`` validations, by ``min_growth`` of the training loss in all, and
    the validation loss is no longer the best; and again after the gap has shrunk in between.

    Args:
        patience: Validations in a row; >= 1.
        min_growth: Growth of the gap over them, as a share of the training loss; >= 0.
    Raises:
        InvalidValueError: a value out of range.
    """

    def __init__(self, patience: int = 3, min_growth: float = 0.1):
        if patience < 1 or not (math.isfinite(min_growth) and min_growth >= 0):
            raise InvalidValueError(
                f"gap_alarm: patience = {patience}, min_growth = {min_growth:g};"
                " patience must be 1 or more and min_growth 0 or more"
            )
        self.patience = patience
        self.min_growth = min_growth
        self.gaps: list[float] = []
        self.best = math.inf
        self.has_told = False

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module) -> None:
        """Compare, after an epoch with a validation."""
        metrics = trainer.callback_metrics
        if not any(trainer.num_val_batches) or not {"train_loss", "val_loss"} <= set(metrics):
            return
        if (trainer.current_epoch + 1) % (trainer.check_val_every_n_epoch or 1):
            return
        train, validation = float(metrics["train_loss"]), float(metrics["val_loss"])
        if self.add(train, validation) and trainer.is_global_zero:
            print(
                f"gap_alarm: epoch {trainer.current_epoch + 1}: val_loss {validation:.4g} and"
                f" train_loss {train:.4g} have moved apart for {self.patience} validations;"
                f" {ADVICE}",
                file=sys.stderr,
                flush=True,
            )

    def add(self, train: float, validation: float) -> bool:
        """Take the losses of an epoch in; whether it is time to tell."""
        if not (math.isfinite(train) and math.isfinite(validation)):
            return False
        self.gaps = [*self.gaps[-self.patience :], validation - train]
        pairs = list(zip(self.gaps, self.gaps[1:], strict=False))
        if pairs and pairs[-1][1] <= pairs[-1][0]:
            self.has_told = False
        is_best = validation < self.best
        self.best = min(self.best, validation)
        is_growing = len(pairs) == self.patience and all(a < b for a, b in pairs)
        is_much = self.gaps[-1] - self.gaps[0] >= self.min_growth * abs(train)
        if self.has_told or is_best or not is_growing or not is_much:
            return False
        self.has_told = True
        return True

    def state_dict(self) -> dict[str, Any]:
        """The gaps so far."""
        return {"gaps": list(self.gaps), "best": self.best, "has_told": self.has_told}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with them."""
        self.gaps = list(state_dict["gaps"])
        self.best, self.has_told = state_dict["best"], state_dict["has_told"]
