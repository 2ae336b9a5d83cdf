"""A training in a run folder, from the first check to the test."""

import errno
import signal
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import lightning
from lightning.pytorch.utilities.exceptions import SIGTERMException

from dlplug.callbacks.checkpoint import Checkpoint
from dlplug.callbacks.heartbeat import heartbeat_of, watched
from dlplug.callbacks.implicit.termination import Termination, left_on_sigterm
from dlplug.data.quarantine import quarantine_of
from dlplug.errors import DlplugError
from dlplug.loggers.metrics_file import MetricsFile
from dlplug.run.callbacks import run_callbacks
from dlplug.run.continuation import check_continuation
from dlplug.run.folder import Run
from dlplug.run.limits import check_limits
from dlplug.run.lock import lock_of
from dlplug.run.opening import fill_run, reopen_run
from dlplug.run.outcome import outcome
from dlplug.run.parts import build_data, build_task, name_of, record_of, with_trained_classes
from dlplug.run.preflight import preflight
from dlplug.run.requeue import requeue_job
from dlplug.run.result import Result
from dlplug.run.start import RunStart
from dlplug.run.trained_data import OTHER_SPLIT, check_split, trained_record
from dlplug.run.trainer import build_trainer
from dlplug.storage.checkpoint import read_outline
from dlplug.storage.files import remove_litter, storage_error
from dlplug.storage.saver import Saver

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment

# What writes into a run's folder without telling of a full disk by itself: loggers, pictures.
FULL = (errno.ENOSPC, errno.EDQUOT)


class Training:
    """Build and check everything, open the run folder, fit, test the best weights, draw.

    Args:
        experiment: What to train.
        root: Under which the runs stand.
        name: Of the run.
        continued: The run that goes on, or None for a new one.
        checkpoint: Where the training goes on, or None.
        progress: Whether to show a progress bar, or lines.
        any_split: Whether to go on although the same data is divided otherwise than before.
    Raises:
        DlplugError: something does not fit; nothing has been written.
    """

    def __init__(
        self,
        experiment: "Experiment",
        root: Path,
        name: str,
        continued: Run | None,
        checkpoint: Path | None,
        progress: bool,
        any_split: bool = False,
    ):
        self.experiment = experiment
        self.root = root
        self.name = name
        self.continued = continued
        self.checkpoint = checkpoint
        self.run: Run | None = None
        self.held = ExitStack()
        self.termination = Termination()
        self.started = time.monotonic()
        self.saver = Saver()
        self.metrics_file = MetricsFile()
        if continued is not None and checkpoint is not None:
            experiment = with_trained_classes(experiment, read_outline(checkpoint), checkpoint)
            self.experiment = experiment
        self.datamodule, self.records = self._data(any_split)
        self.task = build_task(experiment)
        self.lock = lock_of(experiment.code)
        self.record = record_of(experiment) | {"data": trained_record(experiment)}
        if self.records == OTHER_SPLIT:
            self.record["data"]["mixed"] = True
        start = RunStart(self.lock, self.record, checkpoint, self._open, self._attach)
        callbacks = run_callbacks(experiment, start, self.termination, progress)
        self.best = next((c for c in callbacks if isinstance(c, Checkpoint)), None)
        if self.best is not None and continued is not None:
            self.best.dirpath = str(continued.checkpoints)
        # Built now to find their errors, and again when the folder is known: Lightning lets
        # loggers write as soon as it has them.
        experiment.build_loggers()
        self.trainer = build_trainer(
            experiment,
            callbacks=callbacks,
            loggers=[self.metrics_file],
            root=root / name,
            saver=self.saver,
            enable_progress_bar=progress,
        )
        if checkpoint is not None:
            loop = self.trainer.fit_loop
            ends = (loop.max_epochs, loop.max_steps, loop.min_epochs)
            check_continuation(checkpoint, experiment, self.task, callbacks, continued, *ends)
        check_limits(experiment, self.trainer)
        sides = [f"{slot} {name_of(experiment, slot)}" for slot in ("architecture", "data")]
        preflight(self.task, self.datamodule, self.trainer, ", ".join(sides))

    def __call__(self) -> Result:
        """Train, test, draw; the run folder says how it ended, whatever happens."""
        with self.held, left_on_sigterm():
            try:
                with watched(self.trainer):
                    self._fit()
                    result = self._outcome()
                    result.seconds = round(time.monotonic() - self.started, 3)
            except BaseException as error:
                is_interruption = isinstance(error, (KeyboardInterrupt, SystemExit))
                with suppress(DlplugError):  # the first error is the one to be told
                    self._end("interrupted" if is_interruption else "failed")
                if self.termination.is_requeued and self.trainer.is_global_zero:
                    requeue_job()
                if self.run is not None and isinstance(error, OSError) and error.errno in FULL:
                    raise storage_error(self.run.path, error) from error
                raise
            self._end("finished")
        return result

    def _data(self, any_split: bool) -> tuple[lightning.LightningDataModule, str | None]:
        """The data, loaded, and `OTHER_SPLIT` where its test split is none for this training."""
        datamodule = build_data(self.experiment)
        if self.checkpoint is None:
            return datamodule, None
        chosen = (self.experiment, read_outline(self.checkpoint), self.checkpoint, any_split)
        records = check_split("fit", *chosen, is_same_run=self.continued is not None)
        return datamodule, OTHER_SPLIT if records == OTHER_SPLIT else None

    def _open(self) -> Run:
        """Make or reopen the folder; in the first process only."""
        run = self.continued or Run.create(self.root, self.name)
        self.held.enter_context(run.hold())
        self.run = run  # from here on it says how it ended
        if self.continued is None:
            fill_run(run, self.experiment, self.lock)
        else:
            for folder in (run.path, run.checkpoints):
                remove_litter(folder)
            reopen_run(run, self.experiment, self.lock, self.checkpoint)
        return run

    def _attach(self, run: Run) -> None:
        """Tell everything that writes where the folder is."""
        self.run = run
        heartbeat_of(self.trainer).on_lost = lambda: self._end("failed")
        self.metrics_file.path, self.metrics_file.goes_on = run.metrics, self.saver.goes_on
        quarantine = quarantine_of(self.datamodule)
        if quarantine is not None:  # an empty one counts as false
            quarantine.write_to(run.path)
        if self.best is not None:
            self.best.dirpath = str(run.checkpoints)
        others = self.experiment.build_loggers(folder=run.path)
        self.trainer.loggers = [self.metrics_file, *others]
        # It has no setter; on SLURM, Lightning looks here for a state to continue from.
        self.trainer._default_root_dir = str(run.path)

    def _fit(self) -> None:
        try:
            self.trainer.fit(
                self.task,
                datamodule=self.datamodule,
                ckpt_path=self.checkpoint,
                weights_only=True if self.checkpoint else None,
            )
        except SIGTERMException as error:
            raise self._told_to_end() from error
        except SystemExit as error:
            if error.code != 1:  # how Lightning ends after Ctrl-C
                raise
            raise KeyboardInterrupt from error
        if self.termination.is_late:
            raise self._told_to_end()

    def _outcome(self) -> Result:
        """Of a training that is complete, also when its test fails."""
        try:
            return outcome(
                self.trainer, self.task, self.datamodule, self.run, self.best, self.records
            )
        except DlplugError:
            if self.run is not None and self.trainer.is_global_zero:
                print(
                    f"the training is complete, its weights are in {self.run.checkpoints};"
                    f" repeat the test alone: python -m dlplug test --run {self.run.path}",
                    file=sys.stderr,
                )
            raise

    def _told_to_end(self) -> SystemExit:
        if self.run is not None and self.run.last.exists() and self.trainer.is_global_zero:
            print(
                f"saved {self.run.last}; go on: python -m dlplug fit ... --resume {self.run.path}",
                file=sys.stderr,
            )
        # Lightning's exception carries no code, which a shell takes for success. The other
        # processes end with 0: Lightning kills the first one when another ends with a code.
        code = 128 + (self.termination.received or signal.SIGTERM)
        return SystemExit(code if self.trainer.is_global_zero else 0)

    def _end(self, status: str) -> None:
        if self.run is None:
            return
        # The first process keeps the record; where it is lost, whoever is left does. A run that
        # could not be reopened keeps the end that it had.
        is_ours = self.trainer.is_global_zero or heartbeat_of(self.trainer).lost
        if is_ours and self.run.status["status"] == "running":
            self.run.finish(status)
