"""A loader's worker is killed: noticed within 10 s, named; the training ends with the same bits.

Workers are killed (kill -9) between batches, in the optimizer's step, in a save, while validating,
while testing, and in the middle of reading a batch. A fault is contained when standard error names
the process and the signal within 10 s, and the training leaves behind the very files (weights,
optimizer, random states, metrics, test) of one in which nobody was killed.
"""

import io
import os
import signal
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from multiprocessing import active_children
from pathlib import Path

import lightning
import torch
from torch.utils.data import Dataset

from dlplug import config
from dlplug.run import verbs
from dlplug.run.folder import Run
from tests.chaos.fingerprint import difference, fingerprint
from tests.chaos.outcome import Outcome
from tests.chaos.progress import report

SECONDS = 10.0
CONFIG = """
seed_everything: 3
name: killed_workers
architecture: {name: mlp, hidden: [16], dropout: 0.2}
optimizer: {name: adamw, lr: 0.003}
scheduler: {name: warmup_cosine, warmup: 0.1}
callbacks: [{name: checkpoint, every_n_steps: 3}]
data: {name: digits, batch_size: 32, num_workers: 2}
trainer: {max_epochs: 2, limit_train_batches: 8, limit_val_batches: 4, accelerator: cpu}
"""
# Hooks of Lightning, each in the middle of what its name says.
MOMENTS = (
    "on_train_batch_start",
    "on_before_optimizer_step",
    "on_save_checkpoint",
    "on_validation_batch_start",
    "on_test_batch_start",
    "reading",
)


def inject(count: int, folder: Path) -> Outcome:
    """Kill ``count`` workers, one in each training, at the moments in turn.

    Args:
        count: Workers to kill.
        folder: Empty, for the runs.
    """
    file = folder / "config.yaml"
    file.write_text(CONFIG)
    undisturbed = fingerprint(train(file, folder / "undisturbed", lambda experiment: None))
    injected = contained = 0
    slowest = 0.0
    for number in range(count):
        errors, killer = Errors(), Killer(MOMENTS[number % len(MOMENTS)], folder / f"{number}.kill")
        with redirect_stderr(errors):
            run = train(file, folder / str(number), killer.attach)
        if killer.pid is None:
            continue
        injected += 1
        seconds = errors.seen(f"(process {killer.pid}) was killed by SIGKILL") - killer.killed
        slowest = max(slowest, seconds)
        contained += seconds < SECONDS and not difference(fingerprint(run), undisturbed)
        report(number + 1)
    return Outcome(injected, contained, {"slowest notice, seconds": round(slowest, 3)})


def train(file: Path, root: Path, attach: Callable) -> Run:
    """A training with a validation, saves in the middle of epochs, and a test at the end."""
    experiment = config.load([file], [])
    attach(experiment)
    return Run(verbs.fit(experiment, root=root, progress=False).run)


class Errors(io.StringIO):
    """Standard error, with the time of each line."""

    def __init__(self):
        super().__init__()
        self.times: list[tuple[float, str]] = []

    def write(self, text: str) -> int:
        self.times.append((time.monotonic(), text))
        return super().write(text)

    def seen(self, text: str) -> float:
        """When it was written, in seconds; infinity for never."""
        return next((when for when, line in self.times if text in line), float("inf"))


class Killer(lightning.Callback):
    """Kill one worker, once.

    Args:
        moment: One of `MOMENTS`.
        note: A file for the number and time of a process that was killed while it was reading.
    """

    def __init__(self, moment: str, note: Path):
        self.moment = moment
        self.note = note
        self._pid: int | None = None
        self._killed = 0.0
        if moment != "reading":
            setattr(self, moment, self._kill)

    def attach(self, experiment: "config.Experiment") -> None:
        """Take part in the training."""
        if self.moment == "reading":
            data = experiment.datamodule
            data.setup("fit")
            data._datasets = data._datasets | {"train": Deadly(data._datasets["train"], self.note)}
        build = experiment.build_callbacks
        experiment.build_callbacks = lambda: [self, *build()]

    @property
    def pid(self) -> int | None:
        """Of the process that was killed."""
        return int(self.note.read_text().split()[0]) if self.note.exists() else self._pid

    @property
    def killed(self) -> float:
        """When, in seconds of the monotonic clock, which all processes share."""
        return float(self.note.read_text().split()[1]) if self.note.exists() else self._killed

    def _kill(self, trainer: lightning.Trainer, *_: object) -> None:
        workers = sorted(active_children(), key=lambda process: process.pid)
        # Not at the very end of a pass, where nobody is needed any more.
        is_due = trainer.global_step >= 5 and workers
        if self._pid is None and is_due:
            victim = workers[-1]
            self._pid, self._killed = victim.pid, time.monotonic()
            os.kill(victim.pid, signal.SIGKILL)
            victim.join()


class Deadly(Dataset):
    """Another data set; the process that reads the tenth record is killed, once.

    Args:
        dataset: The other one.
        note: A file that says that it has happened.
    """

    def __init__(self, dataset: Dataset, note: Path):
        self.dataset = dataset
        self.note = note

    def __len__(self) -> int:
        return len(self.dataset)

    def digest(self) -> str:
        """Of its records, as the checkpoint tells them."""
        return self.dataset.digest()

    def __getitems__(self, positions):
        is_worker = torch.utils.data.get_worker_info() is not None
        if 10 in positions and is_worker and not self.note.exists():
            self.note.write_text(f"{os.getpid()} {time.monotonic()}")
            os.kill(os.getpid(), signal.SIGKILL)
        return self.dataset.__getitems__(positions)
