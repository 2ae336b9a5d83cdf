"""Where the time and the memory of a training go."""

from dataclasses import asdict, dataclass, field
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, ProgressBar
from torch import Tensor

from dlplug.callbacks.snapshot_ensemble import SnapshotEnsemble
from dlplug.diagnostics.memory import PeakMemory
from dlplug.diagnostics.module_clock import ModuleClock, ModuleCost
from dlplug.diagnostics.parts_clock import PartsClock
from dlplug.diagnostics.trial import Trial, size_of, to_device, untouched
from dlplug.errors import InvalidValueError
from dlplug.run.quiet import quiet

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment

WARM_UP = 3
# Passes through the model under the modules' clock.
PASSES = 3
SLOW_DATA = 0.3


@dataclass
class Profile:
    """What a training costs.

    Args:
        device: ``cpu`` or ``cuda``.
        steps: Batches measured.
        batch_size: Records in one of them.
        step_seconds: Mean time of one.
        parts: Seconds of each part in one batch; see `dlplug.diagnostics.parts_clock`.
        memory: Bytes of parameters, gradients, the optimizer's state, what autograd keeps for
            the backward pass, and at most (of the GPU, else of the whole process).
        modules: Most expensive first.
        hints: What could be better.
    """

    device: str
    steps: int
    batch_size: int
    step_seconds: float
    parts: dict[str, float]
    memory: dict[str, int]
    modules: list[ModuleCost]
    hints: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def profile(experiment: "Experiment", *, steps: int = 20) -> Profile:
    """Train some batches under a clock, then look at the modules one by one.

    The config's callbacks take part, except those that write checkpoints.

    Args:
        experiment: What to train.
        steps: Batches measured, after three to warm up; >= 1.
    Raises:
        DlplugError: a value out of range, or something does not fit.
    """
    if steps < 1:
        raise InvalidValueError(f"profile: steps = {steps} is below 1")
    with quiet():
        trial = Trial(experiment, keep_schedule=True)
        memory = PeakMemory(trial.trainer(1).strategy.root_device)
        clock, end = PartsClock(WARM_UP), EndOfBatches(WARM_UP + steps)
        callbacks = [
            callback
            for callback in experiment.build_callbacks()
            if not isinstance(callback, (ModelCheckpoint, SnapshotEnsemble, ProgressBar))
        ]
        # What other callbacks write, histograms of weights for example, goes with the folder.
        with untouched(trial.task), TemporaryDirectory() as folder:
            memory.reset()
            trainer = trial.trainer(WARM_UP + steps, [*callbacks, end], folder, profiler=clock)
            trial.fit(trainer)
            peak = memory.read()
            modules = ModuleClock(getattr(trial.task, "architecture", trial.task))
            batch = to_device(trial.batch(), memory.device)
            trial.task.to(memory.device)
            _pass_through(trial.task, batch, modules)
    measured = max(1, clock.batches - WARM_UP)
    parts = {name: seconds / measured for name, seconds in clock.seconds.items()}
    costs = sorted(modules.costs.values(), key=lambda cost: -cost.seconds)
    for cost in costs:
        cost.seconds /= PASSES
    kept = sum(cost.kept_bytes for cost in costs)
    return Profile(
        memory.device.type,
        measured,
        size_of(batch),
        sum(parts.values()),
        parts,
        end.memory | {"activations": kept, "peak": peak},
        costs,
        hints_of(parts, experiment),
    )


class EndOfBatches(Callback):
    """Stop after so many batches, however many make a step, and weigh what the training holds."""

    def __init__(self, batches: int):
        self.left = batches
        self.memory: dict[str, int] = {}

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module, *args: Any) -> None:
        """Count down."""
        self.left -= 1
        if self.left > 0:
            return
        trainer.should_stop = True
        parameters = list(pl_module.parameters())
        states = [
            value
            for optimizer in trainer.optimizers
            for state in optimizer.state.values()
            for value in state.values()
            if isinstance(value, Tensor)
        ]
        self.memory = {
            "parameters": _bytes(parameters),
            "gradients": _bytes(p for p in parameters if p.requires_grad),
            "optimizer": _bytes(states),
        }


def _bytes(tensors) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def _pass_through(task: lightning.LightningModule, batch: Any, modules: ModuleClock) -> None:
    """Forward passes under the clock; the first of all is left out of it."""
    ask = getattr(task, "output_and_target", None) or (lambda pair: task(pair[0]))
    task.train()
    with torch.enable_grad():
        ask(batch)
        for _ in range(PASSES):
            with modules.watching():
                ask(batch)


def hints_of(parts: dict[str, float], experiment: "Experiment") -> list[str]:
    """What the shares say."""
    total = sum(parts.values()) or 1.0
    hints = []
    if parts["data"] + parts["transfer"] > SLOW_DATA * total:
        workers = (experiment.resolved.get("data") or {}).get("num_workers")
        hints.append(
            f"{(parts['data'] + parts['transfer']) / total:.0%} of the time goes into data:"
            f" raise data.num_workers (now {workers}), or make the transforms cheaper"
        )
    if parts["callbacks"] > 0.2 * total:
        hints.append(f"callbacks take {parts['callbacks'] / total:.0%}: let them look less often")
    if parts["rest"] > 0.4 * total:
        hints.append(
            f"{parts['rest'] / total:.0%} goes into Lightning around the steps: a larger"
            " data.batch_size makes it matter less (tune batch-size)"
        )
    return hints
