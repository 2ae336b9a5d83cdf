"""How a training shows that it moves: a bar in a terminal, a line per epoch elsewhere."""

import sys
import time

import lightning
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar


def progress_bar() -> ProgressBar:
    """Rich's bar when standard error is a terminal, else `EpochLines`.

    Both write to standard error: standard output is for results.
    """
    if sys.stderr.isatty():
        return RichProgressBar(console_kwargs={"stderr": True})
    return EpochLines()


class EpochLines(ProgressBar):
    """One plain line after each epoch: number, metrics, seconds."""

    def __init__(self):
        super().__init__()
        self._is_enabled = True
        self._started = 0.0

    def disable(self) -> None:
        """Print nothing; Lightning calls this on every process but the first."""
        self._is_enabled = False

    def on_train_start(self, trainer: lightning.Trainer, pl_module) -> None:
        """Start the clock for what is left of an epoch that a checkpoint was saved in."""
        self._started = time.monotonic()

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module) -> None:
        """Print the line."""
        if self._is_enabled and trainer.is_global_zero:
            seconds = time.monotonic() - self._started
            metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
            line = epoch_line(trainer.current_epoch + 1, trainer.max_epochs, metrics, seconds)
            print(line, file=sys.stderr, flush=True)


def epoch_line(
    epoch: int, max_epochs: int | None, metrics: dict[str, float], seconds: float
) -> str:
    """``epoch 3/20  train_loss 0.5120  1.23 s``; values of single steps are left out."""
    total = f"/{max_epochs}" if max_epochs and max_epochs > 0 else ""
    values = [f"{name} {value:.4f}" for name, value in metrics.items() if _is_per_epoch(name)]
    return "  ".join([f"epoch {epoch}{total}", *values, f"{seconds:.2f} s"])


def _is_per_epoch(name: str) -> bool:
    return not name.endswith("_step") and not name.startswith("lr")
