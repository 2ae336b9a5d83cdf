"""Open the run folder at the last moment, the same one in every process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from dlplug.errors import RunError
from dlplug.run.folder import Run
from dlplug.run.lock import lock_difference
from dlplug.tasks.checkpoint import KEY


class RunStart(Callback):
    """Agree on the code and the folder, then let everything that writes know the folder.

    Lightning calls `on_fit_start` in all processes, whoever started them (Lightning, torchrun,
    SLURM), when they can talk to each other and the model, the optimizer and the schedule are
    ready. This callback stands first, so whatever can be wrong has shown before, and no process
    has written anything that could change another one's decision about a resume.

    Args:
        lock: Text of plugins.lock in this process.
        record: Plain data about the run, for its checkpoints.
        checkpoint: From which the training continues, or None.
        open_run: Called in the first process only: makes or reopens the folder.
        attach: Called in every process with the run.
    """

    def __init__(
        self,
        lock: str,
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
        strategy = trainer.strategy
        own_seed = self.record.get("resolved", {}).get("seed_everything")
        lock, checkpoint, seed = strategy.broadcast((self.lock, str(self.checkpoint), own_seed))
        problem = lock_difference(self.lock, lock)
        if seed != own_seed:
            problem = f"seed_everything is {seed} in the first process, {own_seed} in this one"
        if checkpoint != str(self.checkpoint):
            problem = f"the first process continues from {checkpoint}, this one {self.checkpoint}"
        if not strategy.reduce_boolean_decision(problem is None, all=True):
            raise RunError(
                f"the processes of this training differ: {problem or 'see the other processes'}",
                where=f"process {trainer.global_rank} of {trainer.world_size}",
                fix="give every process the same config, plugins and runs folder",
            )
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
