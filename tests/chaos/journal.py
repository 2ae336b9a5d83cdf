"""A callback that says where a training is, in a way that survives kill -9."""

import os
from dataclasses import dataclass
from pathlib import Path

from lightning.pytorch.callbacks import Callback

NAME = "journal.txt"


@dataclass(frozen=True)
class Line:
    """One entry of the journal.

    Args:
        phase: Of the training.
        step: Optimizer steps taken.
        settled: Step at which everything saved until then was last seen to be on the disk; saves
            are made in the background.
    """

    phase: str
    step: int
    settled: int


class Journal(Callback):
    """Append a `Line` to ``journal.txt`` in the working folder at each turn of a training.

    Each line is one write to the operating system, which keeps it when the process dies. A phase
    lasts until the next line: ``saving`` until the next batch, epoch or test.
    """

    def __init__(self):
        self._settled = 0

    def on_train_start(self, trainer, pl_module) -> None:
        """From which step on this process trains."""
        self._write(trainer, "resumed")

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        """Within the next step."""
        self._write(trainer, "training")

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        """After a step, or a batch of an accumulated one."""
        self._write(trainer, "training")

    def on_validation_start(self, trainer, pl_module) -> None:
        """Within a validation."""
        self._write(trainer, "validation")

    def on_validation_end(self, trainer, pl_module) -> None:
        """After it."""
        self._write(trainer, "training")

    def on_save_checkpoint(self, trainer, pl_module, checkpoint) -> None:
        """Just before a checkpoint is written."""
        self._write(trainer, "saving")

    def on_train_end(self, trainer, pl_module) -> None:
        """The test, the picture and the end of the process follow."""
        self._write(trainer, "test")

    def _write(self, trainer, phase: str) -> None:
        if not trainer.strategy.checkpoint_io.saver._is_running:
            self._settled = trainer.global_step
        write(Line(phase, trainer.global_step, self._settled), Path())


def write(line: Line, folder: Path) -> None:
    """Append one line."""
    handle = os.open(folder / NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(handle, f"{line.phase} {line.step} {line.settled}\n".encode())
    finally:
        os.close(handle)


def read(folder: Path) -> list[Line]:
    """All lines, oldest first, but for one that is just being written."""
    lines = (folder / NAME).read_text().split("\n")[:-1]
    return [Line(p, int(step), int(settled)) for p, step, settled in map(str.split, lines)]
