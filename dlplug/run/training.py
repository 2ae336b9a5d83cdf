"""A training in a run folder, from the first check to the test."""

import signal
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lightning.pytorch.callbacks import Callback, ProgressBar
from lightning.pytorch.utilities.exceptions import SIGTERMException

from dlplug.callbacks.checkpoint import Checkpoint
from dlplug.callbacks.finite_steps import FiniteSteps
from dlplug.callbacks.heartbeat import heartbeat_of, watched
from dlplug.callbacks.metric_state import MetricState
from dlplug.callbacks.optimizer_dtypes import OptimizerDtypes
from dlplug.callbacks.pretrained import Pretrained
from dlplug.callbacks.progress import progress_bar
from dlplug.callbacks.random_state import RandomState
from dlplug.callbacks.rollback_record import FILE as ROLLBACKS
from dlplug.callbacks.rollback_record import read_rows
from dlplug.callbacks.spike_rollback import SpikeRollback
from dlplug.callbacks.termination import Termination
from dlplug.data.quarantine import gathered, quarantine_of
from dlplug.errors import StorageError
from dlplug.loggers.metrics_file import MetricsFile, read_metrics
from dlplug.run.evaluation import has_test_data, record_test
from dlplug.run.folder import Run
from dlplug.run.lock import lock_entries, lock_text
from dlplug.run.metrics import Rows, best_epoch, metrics_of_epoch
from dlplug.run.opening import (
    check_average,
    check_not_done,
    check_optimizer,
    fill_run,
    reopen_run,
)
from dlplug.run.parts import build_data, build_task, name_of, record_of, renewed_content
from dlplug.run.picture import draw_learning_curves
from dlplug.run.preflight import preflight
from dlplug.run.requeue import requeue_job
from dlplug.run.result import Result
from dlplug.run.start import RunStart
from dlplug.run.trainer import build_trainer
from dlplug.storage.checkpoint import read_checkpoint
from dlplug.storage.files import remove_litter
from dlplug.storage.saver import Saver
from dlplug.tasks.checkpoint import check_architecture

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment


class Training:
    """Build and check everything, open the run folder, fit, test the best weights, draw.

    Args:
        experiment: What to train.
        root: Under which the runs stand.
        name: Of the run.
        continued: The run that goes on, or None for a new one.
        checkpoint: Where the training goes on, or None.
        progress: Whether to show a progress bar, or lines.
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
        self.metrics_file = MetricsFile()
        self.datamodule = build_data(experiment)
        self.task = build_task(experiment)
        # Hooks can change the model: they are part of the code that a run consists of.
        code = [*experiment.components, *experiment.registry.hook_modules()]
        self.lock = lock_text(lock_entries(code))
        self.record = record_of(experiment)
        self.arguments = experiment.trainer_arguments
        self.best, callbacks = self._callbacks(progress)
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
            saver=Saver(),
            enable_progress_bar=progress,
        )
        if checkpoint is not None:
            content = renewed_content(read_checkpoint(checkpoint), experiment, checkpoint)
            check_architecture(content, self.record, self.task.state_dict(), str(checkpoint))
            check_average(content, callbacks, checkpoint)
            check_optimizer(content, self.record, checkpoint)
            check_not_done(continued, checkpoint, self.trainer.max_epochs)
        sides = [f"{slot} {name_of(experiment, slot)}" for slot in ("architecture", "data")]
        preflight(self.task, self.datamodule, self.trainer, ", ".join(sides))

    def __call__(self) -> Result:
        """Train, test, draw; the run folder says how it ended, whatever happens."""
        with self.held:
            try:
                with watched(self.trainer):
                    self._fit()
                    result = self._result()
            except BaseException as error:
                is_interruption = isinstance(error, (KeyboardInterrupt, SystemExit))
                with suppress(StorageError):  # the first error is the one to be told
                    self._end("interrupted" if is_interruption else "failed")
                if self.termination.is_requeued and self.trainer.is_global_zero:
                    requeue_job()
                raise
            self._end("finished")
        return result

    def _callbacks(self, progress: bool) -> tuple[Checkpoint | None, list[Callback]]:
        given = self.experiment.build_callbacks()
        if self.checkpoint is not None:  # it has weights already, and the other file may be gone
            given = [c for c in given if not isinstance(c, Pretrained)]
        own = [RandomState(), MetricState(), OptimizerDtypes()]
        if not any(isinstance(c, FiniteSteps) for c in given):
            own.append(FiniteSteps())
        callbacks = [*own, *given, self.termination]
        best = next((c for c in callbacks if isinstance(c, Checkpoint)), None)
        # Lightning's trial run writes nothing, so it gets no folder.
        is_trial = bool(self.arguments.get("fast_dev_run"))
        if not is_trial:
            start = RunStart(self.lock, self.record, self.checkpoint, self._open, self._attach)
            callbacks.insert(0, start)
        if best is None and not is_trial and self.arguments.get("enable_checkpointing", True):
            best = Checkpoint()
            callbacks.append(best)
        wants_bar = progress and self.arguments.get("enable_progress_bar", True)
        if wants_bar and not any(isinstance(c, ProgressBar) for c in callbacks):
            callbacks.append(progress_bar())
        return best, callbacks

    def _open(self) -> Run:
        """Make or reopen the folder; in the first process only."""
        run = self.continued or Run.create(self.root, self.name)
        self.held.enter_context(run.hold())
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
        self.metrics_file.path = run.metrics
        if quarantine := quarantine_of(self.datamodule):
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
            # How Lightning ends after Ctrl-C.
            raise KeyboardInterrupt from error
        if self.termination.is_late:
            raise self._told_to_end()

    def _told_to_end(self) -> SystemExit:
        # Lightning's exception carries no code, which a shell takes for success. The other
        # processes end with 0: Lightning kills the first one when another ends with a code.
        code = 128 + (self.termination.received or signal.SIGTERM)
        return SystemExit(code if self.trainer.is_global_zero else 0)

    def _result(self) -> Result:
        result = Result("fit", is_main=self.trainer.is_global_zero)
        result.epochs = self.trainer.current_epoch
        if self.run is None:
            result.metrics = {k: float(v) for k, v in self.trainer.callback_metrics.items()}
        else:
            checkpoint = self._best_checkpoint()
            tested = self._test(checkpoint)
            if result.is_main:
                result.run, result.checkpoint = self.run.path, checkpoint
                result.tests = record_test(self.run, checkpoint, tested) if tested else None
                rows = read_metrics(self.run.metrics)
                monitor = (self.best.monitor, self.best.mode) if self.best else ("val_loss", "min")
                result.metrics = metrics_of_epoch(rows, best_epoch(rows, *monitor)) | tested
                result.picture = self._draw(rows, tested, *monitor)
        result.quarantined = gathered(self.datamodule)
        if self.run is not None and any(
            isinstance(c, SpikeRollback) for c in self.trainer.callbacks
        ):
            result.rollbacks = len(read_rows(self.run.path / ROLLBACKS))
        result.seconds = round(time.monotonic() - self.started, 3)
        return result

    def _best_checkpoint(self) -> Path | None:
        path = self.best.best_model_path if self.best else ""
        return Path(path) if path else None

    def _test(self, checkpoint: Path | None) -> dict[str, float]:
        """Test once, in all processes; empty when there is nothing to test on."""
        if not has_test_data(self.task, self.datamodule):
            return {}
        values = self.trainer.test(
            self.task,
            datamodule=self.datamodule,
            ckpt_path=checkpoint,
            weights_only=True if checkpoint else None,
            verbose=False,
        )
        return {name: float(value) for part in values for name, value in part.items()}

    def _draw(self, rows: Rows, tested: dict[str, float], monitor: str, mode: str) -> Path | None:
        values = [f"{name.replace('_', ' ')} {value:.4f}" for name, value in tested.items()]
        title = f"{self.run.name}/{self.run.number}" + ("  " + ", ".join(values) if values else "")
        try:
            return draw_learning_curves(
                rows, self.run.picture, title=title, monitor=monitor, mode=mode
            )
        except ImportError:
            print(
                "no picture of the learning curves: matplotlib is not installed"
                " (pip install 'dlplug[pictures]')",
                file=sys.stderr,
            )
            return None

    def _end(self, status: str) -> None:
        if self.run is None:
            return
        # The first process keeps the record; where it is lost, whoever is left does.
        is_left = heartbeat_of(self.trainer).lost and self.run.status["status"] == "running"
        if self.trainer.is_global_zero or is_left:
            self.run.finish(status)
