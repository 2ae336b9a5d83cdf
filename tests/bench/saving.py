"""``python -m tests.bench.saving``: what saving costs a training, in the background and without.

One training of a config goes through phases without saves, with saves in the background and with
saves that are waited for, in random order in each round. The ratio compares the time per step of
phases of the same round. Saves come much more often than a training makes them by default; what
one costs is set against the default's 60 seconds.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import lightning
import torch

from dlplug import config
from dlplug.callbacks.implicit.random_state import RandomState
from dlplug.run.parts import build_data, build_task
from dlplug.run.quiet import quiet
from dlplug.run.trainer import build_trainer
from dlplug.storage.saver import Saver

CONFIG = Path(__file__).parents[2] / "configs" / "mnist_vit.yaml"
NONE, BACKGROUND, WAITED = "none", "background", "waited for"
DEFAULT_INTERVAL = 60.0  # seconds between two saves of a training


class Phases(lightning.Callback):
    """Go through the phases; count steps and seconds of each, and milliseconds of each save.

    Args:
        folder: For the checkpoint.
        rounds: How often each phase comes.
        seconds: Of a phase.
        interval: Seconds between two saves in it.
    """

    def __init__(self, folder: Path, rounds: int, seconds: float, interval: float):
        self.path = folder / "last.ckpt"
        self.seconds, self.interval = seconds, interval
        self.plan = [
            phase
            for _ in range(rounds + 1)  # the first round warms up
            for phase in random.sample([NONE, BACKGROUND, WAITED], 3)
        ]
        self.step_ms: dict[str, list[float]] = defaultdict(list)
        self.blocked_ms: dict[str, list[float]] = defaultdict(list)
        self.saver = Saver()
        self.begun = None
        self.done = 0

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        """Save when it is time; look whether the phase is over."""
        now = time.perf_counter()
        if self.begun is None:
            self._begin(now)
            return
        self.steps += 1
        phase = self.plan[self.done]
        if phase != NONE and now - self.saved >= self.interval:
            self._save(trainer, phase)
        if now - self.begun >= self.seconds:
            self.saver.wait()  # what is still being written belongs to this phase
            self.step_ms[phase].append((time.perf_counter() - self.begun) / self.steps * 1e3)
            self.done += 1
            trainer.should_stop = self.done == len(self.plan)
            self._begin(time.perf_counter())

    def _begin(self, now: float) -> None:
        self.begun = self.saved = now
        self.steps = 0

    def _save(self, trainer: lightning.Trainer, phase: str) -> None:
        trainer.strategy.checkpoint_io.saver = self.saver if phase == BACKGROUND else None
        started = time.perf_counter()
        trainer.save_checkpoint(self.path)
        self.saved = time.perf_counter()
        self.blocked_ms[phase].append((self.saved - started) * 1e3)


def measure(path: Path, rounds: int, seconds: float, interval: float) -> dict:
    """Train and save; one row as in the other benchmarks, and what a save costs."""
    experiment = config.load([path], [])
    lightning.seed_everything(experiment.seed, verbose=False)
    datamodule, task = build_data(experiment), build_task(experiment)
    with tempfile.TemporaryDirectory() as folder, quiet():
        phases = Phases(Path(folder), rounds, seconds, interval)
        trainer = build_trainer(
            experiment,
            callbacks=[RandomState(), *experiment.build_callbacks(), phases],
            root=folder,
            forced={"max_epochs": 10_000, "limit_val_batches": 0, "enable_checkpointing": False},
            enable_progress_bar=False,
        )
        trainer.fit(task, datamodule=datamodule)
        size = phases.path.stat().st_size
    times = {name: values[1:] for name, values in phases.step_ms.items()}
    ratios = {
        name: [ours / none for ours, none in zip(times[name], times[NONE], strict=True)]
        for name in (BACKGROUND, WAITED)
    }
    return {
        "case": f"saving {path.stem} every {interval:g} s",
        "bytes": size,
        "step ms": {name: round(statistics.median(v), 3) for name, v in times.items()},
        "ratio": {name: round(statistics.median(v), 4) for name, v in ratios.items()},
        "ratios": {name: [round(ratio, 4) for ratio in v] for name, v in ratios.items()},
        "blocked ms": {
            name: round(statistics.median(v), 3) for name, v in phases.blocked_ms.items()
        },
        f"ratio at {DEFAULT_INTERVAL:g} s": {
            name: round(1 + (statistics.median(v) - 1) * interval / DEFAULT_INTERVAL, 5)
            for name, v in ratios.items()
        },
    }


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a phase")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two saves")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.threads} threads")
    row = measure(options.config, options.rounds, options.seconds, options.interval)
    print(json.dumps(row, indent=1))


if __name__ == "__main__":
    main()
