"""Speed and memory of growing batches: the largest that fits, and the smallest that is fast."""

import gc
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from dlplug.diagnostics.memory import PeakMemory, is_out_of_memory, mebibytes
from dlplug.diagnostics.picture import MAIN, MARK, QUIET, clean, figure
from dlplug.diagnostics.trial import Trial, size_of, untouched
from dlplug.errors import ConfigError, InvalidValueError
from dlplug.run.parts import name_of
from dlplug.run.quiet import quiet

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment

# The knee: the smallest batch with that share of the best speed.
KNEE = 0.9
# Steps before the clock starts: the first ones allocate memory and choose kernels.
WARM_UP = 2


@dataclass
class Measured:
    """One batch size.

    Args:
        batch_size: Records per batch.
        samples_per_second: Records trained per second, reading included; None if it did not fit.
        step_seconds: Of one step; None if it did not fit.
        memory: Bytes at most, of the GPU or of the whole process; None if it did not fit.
        remark: Why it was not measured.
    """

    batch_size: int
    samples_per_second: float | None = None
    step_seconds: float | None = None
    memory: int | None = None
    remark: str = ""


@dataclass
class BatchSizes:
    """All sizes that were tried.

    Args:
        tried: In growing order.
        suggestion: Smallest size that has nine tenths of the best speed; None if nothing fits.
        largest: Largest size that fits; None if nothing does.
        limit: Bytes that could be used.
        ended: Why no larger size was tried.
        device: ``cpu`` or ``cuda``.
    """

    tried: list[Measured] = field(default_factory=list)
    suggestion: int | None = None
    largest: int | None = None
    limit: int = 0
    ended: str = ""
    device: str = "cpu"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def try_batch_sizes(
    experiment: "Experiment",
    *,
    smallest: int = 8,
    largest: int | None = None,
    steps: int = 10,
    memory_limit: int | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> BatchSizes:
    """Train a few steps with a batch size that doubles, as far as data and memory go.

    A size is not tried on a CPU when the growth so far says that it would exceed the limit: there
    the system would end the process instead of refusing the memory.

    Args:
        experiment: What to train.
        smallest: First batch size; >= 1.
        largest: Last batch size; None for as many as there are records.
        steps: Optimizer steps measured for each size; >= 2.
        memory_limit: Bytes; None for what the device has.
        progress: Is told what is being measured.
    Raises:
        DlplugError: a value out of range, or something does not fit.
    """
    if smallest < 1 or steps < 2 or (largest is not None and largest < smallest):
        raise InvalidValueError(
            f"tune batch-size: min = {smallest}, max = {largest}, steps = {steps};"
            " min must be 1 or more, max at least min, and steps 2 or more"
        )
    with quiet():
        trial = Trial(experiment)
        data = trial.datamodule
        if not isinstance(getattr(data, "batch_size", None), int):
            raise ConfigError(
                f"data {name_of(experiment, 'data')} has no attribute batch_size to change"
            )
        given = data.batch_size
        device = trial.trainer(1).strategy.root_device
        memory = PeakMemory(device)
        found = BatchSizes(limit=memory_limit or memory.limit(), device=device.type)
        try:
            with untouched(trial.task):
                _grow(trial, found, memory, smallest, largest, steps, progress)
        finally:
            data.batch_size = given
    return judge(found)


def _grow(trial, found, memory, size, largest, steps, progress) -> None:
    records = records_of(trial)
    while True:
        if records is not None and size > records:
            found.ended = f"there are {records} training records"
            return
        if largest is not None and size > largest:
            found.ended = f"--max {largest}"
            return
        expected = expected_memory(found.tried, size)
        if found.device == "cpu" and expected > found.limit:
            found.ended = f"{size} would need about {mebibytes(expected)}"
            found.tried.append(Measured(size, remark="would not fit"))
            return
        progress(f"batch size {size}")
        measured = measure(trial, memory, size, steps)
        found.tried.append(measured)
        if measured.memory is None:
            found.ended = f"{size} is {measured.remark}"
            return
        if measured.memory > found.limit:
            measured.remark = "above the limit"
            found.ended = f"{size} needs {mebibytes(measured.memory)}"
            return
        size *= 2


def records_of(trial: Trial) -> int | None:
    """Training records; None when the data module does not tell."""
    sizes = getattr(trial.datamodule, "split_sizes", None)
    return None if sizes is None else sizes["train"]


def expected_memory(tried: list[Measured], size: int) -> float:
    """Bytes for a batch size, by a straight line through the last two; 0 when there are not two."""
    if len(tried) < 2:
        return 0.0
    before, last = tried[-2:]
    slope = (last.memory - before.memory) / (last.batch_size - before.batch_size)
    return last.memory + max(slope, 0.0) * (size - last.batch_size)


def measure(trial: Trial, memory: PeakMemory, size: int, steps: int) -> Measured:
    """Train ``steps`` steps with batches of ``size``, after some to warm up."""
    trial.datamodule.batch_size = size
    clock = StepClock(size)
    memory.reset()
    try:
        trial.fit(trial.trainer(WARM_UP + steps, [clock]))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        # The frames of the error hold the tensors.
        error.__traceback__ = None
        trial.task.zero_grad(set_to_none=True)
        return Measured(size, remark="out of memory")
    finally:
        gc.collect()
        if memory.device.type == "cuda":
            torch.cuda.empty_cache()
    if not clock.times:  # an endless source does not tell how many records it has
        return Measured(size, remark="more than an epoch has")
    # The median: another program may hold the processor for a step or two.
    seconds = median(clock.times)
    return Measured(size, size / seconds, seconds, memory.read())


class StepClock(Callback):
    """Seconds of each batch of full size after the first steps, reading included."""

    def __init__(self, size: int):
        self.size = size
        self.times: list[float] = []
        self._last: float | None = None

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module, outputs, batch, i) -> None:
        """Read the clock, when the GPU is done."""
        _wait_for(pl_module.device)
        now = time.perf_counter()
        # The last batch of an epoch may be smaller.
        if self._last is not None and trainer.global_step > WARM_UP and size_of(batch) == self.size:
            self.times.append(now - self._last)
        self._last = now


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def judge(found: BatchSizes) -> BatchSizes:
    """Fill in the largest size that fits and the knee of the speed."""
    fitting = [m for m in found.tried if m.memory is not None and m.memory <= found.limit]
    if fitting:
        best = max(m.samples_per_second for m in fitting)
        found.largest = fitting[-1].batch_size
        found.suggestion = next(
            m.batch_size for m in fitting if m.samples_per_second >= KNEE * best
        )
    return found


def draw_batch_sizes(found: BatchSizes, path: Path, title: str) -> Path:
    """Speed and memory against the batch size, the suggestion marked.

    Raises:
        ImportError: matplotlib is not installed.
    """
    made, (speed, memory) = figure(8.4, 3.6, title, nrows=1, ncols=2)
    measured = [m for m in found.tried if m.memory is not None]
    sizes = [m.batch_size for m in measured]
    rates = [m.samples_per_second for m in measured]
    speed.plot(sizes, rates, color=MAIN, marker="o", markersize=4, linewidth=1.6)
    if found.suggestion in sizes:
        rate = rates[sizes.index(found.suggestion)]
        speed.plot(
            [found.suggestion],
            [rate],
            marker="o",
            color=MARK,
            linestyle="none",
            label=f"suggestion: {found.suggestion}",
        )
        speed.axhline(KNEE * max(rates), color=QUIET, linewidth=0.8, linestyle=":")
        speed.legend(frameon=False, fontsize=8)
    speed.set_ylim(bottom=0)
    speed.set_title("records per second", fontsize=10)
    memory.plot(sizes, [m.memory / 2**20 for m in measured], color=MAIN, marker="o", markersize=4)
    memory.set_ylim(0, 1.1 * max(m.memory for m in measured) / 2**20)
    where = "GPU" if found.device == "cuda" else "the process"
    memory.set_title(f"memory of {where} at most, MiB", fontsize=10)
    for axis in (speed, memory):
        axis.set_xscale("log", base=2)
        axis.set_xticks(sizes, [str(size) for size in sizes], fontsize=8)
        axis.minorticks_off()
        axis.set_xlabel("batch size")
        clean(axis)
    made.savefig(path)
    return path
