"""Learning-rate range test: which learning rates make the loss fall."""

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import pstdev
from typing import TYPE_CHECKING, Any

import lightning
from lightning.pytorch.callbacks import Callback

from dlplug.diagnostics.picture import MAIN, MARK, QUIET, clean, figure
from dlplug.diagnostics.trial import Trial, untouched
from dlplug.errors import ConfigError, InvalidValueError
from dlplug.run.quiet import quiet

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment

# Weight of the past in the average that tells a divergence: about ten steps.
SMOOTHING = 0.9
# Where the sweep ends: as many times the smallest average.
DIVERGED = 4.0
# The loss has fallen when its smoothed minimum is that far below its start: as a share of it, and
# in standard deviations of single losses, which differ from batch to batch.
FALLEN, FALLEN_NOISE = 0.02, 2.5


@dataclass
class RateSweep:
    """What a range test found.

    Args:
        rates: Learning rate of each step.
        losses: Loss of each step, before the step.
        smoothed: Mean of the losses around each step.
        suggestion: Where the smoothed loss falls steepest; None if it never falls.
        steepest: Index of that step.
        lowest: Learning rate of the smallest smoothed loss.
        ended: ``swept`` to the end, ``diverged`` or ``not finite``.
        seconds: Of the sweep.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    suggestion: float | None
    steepest: int | None
    lowest: float
    ended: str
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def lr_range_test(
    experiment: "Experiment", *, lowest: float = 1e-6, highest: float = 1.0, steps: int = 100
) -> RateSweep:
    """Train with a learning rate that grows exponentially, and look where the loss falls.

    Lightning has such a finder too; it saves a checkpoint with the task's arguments, which fails
    when they hold objects, as ours do.

    The schedule and the callbacks of the config are left out. Several parameter groups keep the
    ratio of their rates; the rate shown is the first group's.

    Args:
        experiment: What to train.
        lowest: First learning rate; > 0.
        highest: Last learning rate; > ``lowest``.
        steps: Optimizer steps; >= 20.
    Raises:
        DlplugError: a value out of range, or something does not fit.
    References: Smith 2015, arXiv:1506.01186, section 3.3.
    """
    if not 0 < lowest < highest < math.inf or steps < 20:
        raise InvalidValueError(
            f"tune lr: min = {lowest:g}, max = {highest:g}, steps = {steps};"
            " min must be above 0 and below max, and steps 20 or more"
        )
    started = time.monotonic()
    with quiet():
        trial = Trial(experiment)
        trial.check_optimises_itself("tune lr")
        sweep = Sweep(lowest, highest, steps)
        with untouched(trial.task):
            trial.fit(trial.trainer(steps, [sweep]))
    found = judge(sweep.rates, sweep.losses, sweep.ended)
    found.seconds = round(time.monotonic() - started, 3)
    return found


class Sweep(Callback):
    """Set the learning rate of each optimizer step, and keep its loss."""

    def __init__(self, lowest: float, highest: float, steps: int):
        self.rates: list[float] = []
        self.losses: list[float] = []
        self.ended = "swept"
        self._factor = (highest / lowest) ** (1 / (steps - 1))
        self._lowest = lowest
        self._ratios: list[list[float]] = []
        self._average = Average()
        self._parts: list[float] = []

    def on_train_start(self, trainer: lightning.Trainer, pl_module) -> None:
        """Remember how the parameter groups' rates relate."""
        for optimizer in trainer.optimizers:
            rates = [float(group["lr"]) for group in optimizer.param_groups]
            self._ratios.append([rate / rates[0] if rates[0] else 1.0 for rate in rates])

    def on_train_batch_start(self, trainer: lightning.Trainer, pl_module, batch, batch_idx) -> None:
        """Set the rate of the coming step."""
        rate = self._lowest * self._factor**trainer.global_step
        for optimizer, ratios in zip(trainer.optimizers, self._ratios, strict=True):
            for group, ratio in zip(optimizer.param_groups, ratios, strict=True):
                group["lr"] = rate * ratio

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module, outputs, batch, batch_idx
    ) -> None:
        """Keep the loss; with accumulated gradients, the mean over the batches of a step."""
        if outputs is None or outputs.get("loss") is None:
            raise ConfigError(f"tune lr: the task {type(pl_module).__name__} returns no loss")
        self._parts.append(float(outputs["loss"]))
        if trainer.global_step == len(self.rates):
            return
        loss = sum(self._parts) / len(self._parts)
        self._parts = []
        self.rates.append(self._lowest * self._factor ** len(self.rates))
        self.losses.append(loss)
        if not math.isfinite(loss):
            self.ended = "not finite"
        elif self._average.add(loss) > DIVERGED * max(self._average.smallest, 1e-12):
            # Ten steps give the average a meaning; losses may be negative, and then never diverge.
            self.ended = "diverged" if len(self.losses) > 10 and self._average.smallest > 0 else ""
        trainer.should_stop = self.ended in ("diverged", "not finite")
        self.ended = self.ended or "swept"


class Average:
    """Exponential moving average without the pull of its start, and its minimum."""

    def __init__(self):
        self.sum = self.weight = 0.0
        self.smallest = math.inf

    def add(self, value: float) -> float:
        """Take a value in; returns the average."""
        self.sum = SMOOTHING * self.sum + (1 - SMOOTHING) * value
        self.weight = SMOOTHING * self.weight + (1 - SMOOTHING)
        average = self.sum / self.weight
        self.smallest = min(self.smallest, average)
        return average


def judge(rates: list[float], losses: list[float], ended: str = "swept") -> RateSweep:
    """Smooth the losses, and find where they fall steepest before their minimum.

    Args:
        rates: Growing learning rates.
        losses: One for each.
        ended: See `RateSweep`.
    """
    finite = [loss for loss in losses if math.isfinite(loss)]
    if not finite:
        return RateSweep(rates, losses, [], None, None, rates[0] if rates else math.nan, ended)
    half = max(2, len(finite) // 20)
    smoothed = centred_means(finite, half)
    bottom = min(range(len(smoothed)), key=smoothed.__getitem__)
    # Differences over equal steps of the log rate, so no division. At the ends the windows are
    # shorter and the means noisier.
    slopes = {
        i: smoothed[i + half] - smoothed[i - half]
        for i in range(half, bottom - half // 2)
        if i + half < len(smoothed)
    }
    start = sum(smoothed[: max(half, 1)]) / max(half, 1)
    noise = pstdev(
        [loss - mean for loss, mean in zip(finite, smoothed[: bottom + 1], strict=False)]
    )
    fall = start - smoothed[bottom]
    has_fallen = fall > max(FALLEN * abs(start), FALLEN_NOISE * noise, 1e-12)
    steepest = min(slopes, key=slopes.__getitem__) if slopes and has_fallen else None
    suggestion = None if steepest is None else float(f"{rates[steepest]:.2g}")
    return RateSweep(rates, losses, smoothed, suggestion, steepest, rates[bottom], ended)


def centred_means(values: list[float], half: int) -> list[float]:
    """Mean over the neighbours at most ``half`` away: unlike a running average, without a lag."""
    windows = (values[max(0, i - half) : i + half + 1] for i in range(len(values)))
    return [sum(window) / len(window) for window in windows]


def draw_sweep(sweep: RateSweep, path: Path, title: str) -> Path:
    """Loss against learning rate, the suggestion marked.

    Raises:
        ImportError: matplotlib is not installed.
    """
    made, axis = figure(6.2, 3.8, title)
    count = len(sweep.smoothed)
    axis.plot(sweep.rates[:count], sweep.losses[:count], color=QUIET, linewidth=0.8, label="loss")
    axis.plot(sweep.rates[:count], sweep.smoothed, color=MAIN, linewidth=1.8, label="smoothed")
    if sweep.suggestion is not None:
        axis.axvline(sweep.rates[sweep.steepest], color=MARK, linewidth=0.8, linestyle=":")
        axis.plot(
            [sweep.rates[sweep.steepest]],
            [sweep.smoothed[sweep.steepest]],
            marker="o",
            color=MARK,
            linestyle="none",
            label=f"steepest: {sweep.suggestion:g}",
        )
    axis.set_xscale("log")
    if sweep.smoothed:
        # One early outlier or the last steps of a divergence would hide the slope.
        low, high = min(sweep.smoothed), max(sweep.smoothed[: max(1, count * 3 // 4)])
        margin = 0.15 * (high - low or 1)
        axis.set_ylim(low - 2 * margin, high + 2 * margin)
    axis.set_xlabel("learning rate")
    axis.set_ylabel("training loss")
    clean(axis)
    axis.legend(frameon=False, fontsize=8)
    made.savefig(path)
    return path
