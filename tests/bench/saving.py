"""``python -m tests.bench.saving``: what saving costs a training, in the background and without.

One training of a config goes through phases without saves, with saves in the background and with
saves that are waited for, in random order in each round. The ratio compares the time per step of
phases of the same round. Saves come much more often than a training makes them by default; what
one costs is set against the default's 60 seconds.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import lightning
import torch

from dlplug.storage.saver import Saver
from tests.bench.phases import Phases

CONFIG = Path(__file__).parents[2] / "configs" / "mnist_vit.yaml"
NONE, BACKGROUND, WAITED = "none", "background", "waited for"
DEFAULT_INTERVAL = 60.0  # seconds between two saves of a training


class Saving(Phases):
    """Save or do not; count the milliseconds that a step waits for each save.

    Args:
        folder: For the checkpoint.
        rounds, seconds: As for `Phases`.
        interval: Seconds between two saves in a phase that saves.
    """

    def __init__(self, folder: Path, rounds: int, seconds: float, interval: float):
        super().__init__([NONE, BACKGROUND, WAITED], rounds, seconds)
        self.path = folder / "last.ckpt"
        self.interval = interval
        self.blocked_ms: dict[str, list[float]] = defaultdict(list)
        self.saver = Saver()

    def enter(self, trainer, pl_module) -> None:
        """Wait for the first save as long as for the others."""
        self.saved = time.perf_counter()

    def leave(self, trainer, pl_module) -> None:
        """What is still being written belongs to the phase."""
        self.saver.wait()

    def on_train_batch_end(self, trainer, pl_module, *args) -> None:
        """Save when it is time."""
        if self.phase != NONE and time.perf_counter() - self.saved >= self.interval:
            self._save(trainer)
        super().on_train_batch_end(trainer, pl_module, *args)

    def _save(self, trainer: lightning.Trainer) -> None:
        trainer.strategy.checkpoint_io.saver = self.saver if self.phase == BACKGROUND else None
        started = time.perf_counter()
        trainer.save_checkpoint(self.path)
        self.saved = time.perf_counter()
        self.blocked_ms[self.phase].append((self.saved - started) * 1e3)


def measure(path: Path, rounds: int, seconds: float, interval: float) -> dict:
    """Train and save; one row as in the other benchmarks, and what a save costs."""
    with tempfile.TemporaryDirectory() as folder:
        phases = Saving(Path(folder), rounds, seconds, interval)
        phases.train(path, folder)
        size = phases.path.stat().st_size
    ratios = {name: phases.ratios(name, NONE) for name in (BACKGROUND, WAITED)}
    return {
        "case": f"saving {path.stem} every {interval:g} s",
        "bytes": size,
        "step ms": phases.medians(),
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
