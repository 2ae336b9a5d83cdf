"""Open the run folder at the last moment, the same one in every process."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from dlplug.errors import RunError
from dlplug.processes.comparison import differing_texts
from dlplug.run.folder import Run
from dlplug.run.lock import Lock
from dlplug.run.lock_difference import differences, joined
from dlplug.tasks.checkpoint import KEY


class RunStart(Callback):
    """Agree on the code and the folder, then let everything that writes know the folder.

    Lightning calls `on_fit_start` in all processes, whoever started them (Lightning, torchrun,
    SLURM), when they can talk to each other and the model, the optimizer and the schedule are
    ready. This callback stands first, so whatever can be wrong has shown before, and no process
    has written anything that could change another one's decision about a resume.

    Args:
        lock: plugins.lock of this process.
        record: Plain data about the run, for its checkpoints.
        checkpoint: From which the training continues, or None.
        open_run: Called in the first process only: makes or reopens the folder.
        attach: Called in every process with the run.
    """

    def __init__(
        self,
        lock: Lock,
        record: dict[str, Any],
        checkpoint: Path | None,
        open_run: Callable[[], Run],
        attach: Callable[[Run], None],
    ):
        self.lock = lock
        self.record = record
        self.checkpoint = checkpoint
        self.open_run = open_run
        self.attach = attach

    def on_fit_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Compare, open, attach.

        Raises:
            RunError: the processes differ in their plugins, their seed or where they continue.
        """
        known = {
            "lock": self.lock,
            "checkpoint": str(self.checkpoint),
            "seed": self.record.get("resolved", {}).get("seed_everything"),
        }
        texts = differing_texts(trainer, json.dumps(known))
        if texts is not None:
            raise RunError(
                f"the processes of this training differ: {joined(_differences(texts))}",
                where=f"process {trainer.global_rank} of {trainer.world_size}",
                fix="give every process the same config, plugins and runs folder",
            )
        strategy = trainer.strategy
        path = strategy.broadcast(str(self.open_run().path) if trainer.is_global_zero else "")
        self.attach(Run(Path(path)))

    def on_save_checkpoint(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        """Let every checkpoint say which run it belongs to, whoever wrote the task."""
        checkpoint[KEY] = self.record


def _differences(texts: list[str]) -> list[str]:
    """What each process knows otherwise than the first one, naming it."""
    first, *others = map(json.loads, texts)
    found = []
    for rank, other in enumerate(others, start=1):
        sides = ("in process 0", f"in process {rank}")
        found += differences(first["lock"], other["lock"], sides)
        for key, what in (("seed", "seed_everything"), ("checkpoint", "continues from")):
            if first[key] != other[key]:
                found.append(f"{what} {first[key]} {sides[0]}, {other[key]} {sides[1]}")
    return found
