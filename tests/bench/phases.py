"""One training that goes through phases in random order, so that their times compare."""

import random
import statistics
import time
from collections import defaultdict
from pathlib import Path

import lightning

from dlplug import config
from dlplug.callbacks.implicit.random_state import RandomState
from dlplug.run.parts import build_data, build_task
from dlplug.run.quiet import quiet
from dlplug.run.trainer import build_trainer

ENDLESS = {"max_epochs": 10_000, "limit_val_batches": 0, "enable_checkpointing": False}


class Phases(lightning.Callback):
    """Go through the phases, each once in every round; take the time per step of each.

    A subclass says in `enter` what a phase changes. The first round, in the order of the names,
    warms up and counts for nothing.

    Args:
        names: Of the phases.
        rounds: How often each comes.
        seconds: Of a phase, at least.
    """

    def __init__(self, names: list[str], rounds: int, seconds: float):
        self.seconds = seconds
        self.plan = [*names, *(n for _ in range(rounds) for n in random.sample(names, len(names)))]
        self._step_ms: dict[str, list[float]] = defaultdict(list)
        self.done = 0

    @property
    def phase(self) -> str:
        """The present one."""
        return self.plan[self.done]

    def train(self, path: Path, folder: str) -> None:
        """Train the config until all phases are over, in a folder for what it writes."""
        experiment = config.load([path], [])
        lightning.seed_everything(experiment.seed, verbose=False)
        datamodule, task = build_data(experiment), build_task(experiment)
        with quiet():
            trainer = build_trainer(
                experiment,
                callbacks=[RandomState(), *experiment.build_callbacks(), self],
                root=folder,
                forced=ENDLESS,
                enable_progress_bar=False,
            )
            trainer.fit(task, datamodule=datamodule)

    def enter(self, trainer, pl_module) -> None:
        """A phase begins."""

    def leave(self, trainer, pl_module) -> None:
        """It ends; what is still under way belongs to it."""

    def on_train_start(self, trainer, pl_module) -> None:
        """The first phase begins."""
        self._begin(trainer, pl_module)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        """See whether the phase is over."""
        self.steps += 1
        if time.perf_counter() - self.begun < self.seconds:
            return
        self.leave(trainer, pl_module)
        seconds = time.perf_counter() - self.begun
        self._step_ms[self.phase].append(seconds / self.steps * 1e3)
        self.done += 1
        if self.done == len(self.plan):
            trainer.should_stop = True
        else:
            self._begin(trainer, pl_module)

    def _begin(self, trainer, pl_module) -> None:
        self.enter(trainer, pl_module)
        self.begun, self.steps = time.perf_counter(), 0

    @property
    def step_ms(self) -> dict[str, list[float]]:
        """Of each phase, the milliseconds of a step in each round but the first."""
        return {name: values[1:] for name, values in self._step_ms.items()}

    def ratios(self, name: str, base: str) -> list[float]:
        """Time of a step in phase ``name`` over that in ``base``, round by round."""
        times = self.step_ms
        return [a / b for a, b in zip(times[name], times[base], strict=True)]

    def medians(self) -> dict[str, float]:
        """Milliseconds of a step."""
        return {name: round(statistics.median(v), 3) for name, v in self.step_ms.items()}
