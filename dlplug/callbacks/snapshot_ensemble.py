"""Several models from one training."""

from pathlib import Path

import lightning
from lightning.pytorch.callbacks import Callback

from dlplug.errors import InvalidValueError


class SnapshotEnsemble(Callback):
    """Write ``snapshot-1.ckpt``, ``snapshot-2.ckpt``, ... at the end of each cycle of the rate.

    They stand beside ``best.ckpt`` in the run folder. Use them together::

        scheduler: {name: cosine_cycles, cycles: 5}
        callbacks: [snapshot_ensemble]

        predict --run NAME --ckpt_path .../snapshot-4.ckpt --ckpt_path .../snapshot-5.ckpt

    Raises:
        InvalidValueError: at the start of a training, another scheduler than cosine_cycles, or
            ``trainer.enable_checkpointing: false``.
    References: Huang et al. 2017, arXiv:1704.00109.
    """

    def __init__(self):
        self._written = 0

    def setup(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """There is a place to write to.

        Raises:
            InvalidValueError: there is none.
        """
        if stage == "fit" and trainer.checkpoint_callback is None and not trainer.fast_dev_run:
            raise InvalidValueError(
                "snapshot_ensemble: trainer.enable_checkpointing is false",
                fix="leave out snapshot_ensemble, or that",
            )

    def check_scheduler(self, scheduler: object) -> None:
        """It has cycles; a `Task` asks as soon as it has built it.

        Raises:
            InvalidValueError: it has none.
        """
        if not getattr(scheduler, "steps_per_cycle", 0):
            raise InvalidValueError(
                "snapshot_ensemble: the learning rate has no cycles",
                fix="set scheduler: {name: cosine_cycles, cycles: 5}",
            )

    def on_train_start(self, trainer, pl_module) -> None:
        """A resumed training has passed some."""
        self._written = trainer.global_step // self._length(trainer)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        """Write after the last step of a cycle."""
        if trainer.global_step // self._length(trainer) > self._written:
            self._write(trainer)

    def on_train_end(self, trainer, pl_module) -> None:
        """The last cycle may be shorter."""
        if trainer.global_step > self._written * self._length(trainer):
            self._write(trainer)

    def _length(self, trainer: lightning.Trainer) -> int:
        configured = trainer.lr_scheduler_configs
        scheduler = configured[0].scheduler if configured else None
        self.check_scheduler(scheduler)  # of a task that has not asked
        return scheduler.steps_per_cycle

    def _write(self, trainer: lightning.Trainer) -> None:
        self._written += 1
        keep = trainer.checkpoint_callback
        if trainer.fast_dev_run or keep.dirpath is None:
            return
        trainer.save_checkpoint(Path(keep.dirpath, f"snapshot-{self._written}.ckpt"))
