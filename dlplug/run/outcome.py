"""What a training has come to: its best weights are tested, its curves are drawn."""

import sys
from pathlib import Path

import lightning

from dlplug.callbacks.checkpoint import Checkpoint
from dlplug.callbacks.rollback.record import FILE as ROLLBACKS
from dlplug.callbacks.spike_rollback import SpikeRollback
from dlplug.data.quarantine import gathered
from dlplug.loggers.metrics_file import read_metrics
from dlplug.run.evaluation import has_test_data, limited, record_test
from dlplug.run.folder import Run
from dlplug.run.metrics import Rows, best_epoch, metrics_of_epoch
from dlplug.run.picture import draw_learning_curves
from dlplug.run.result import Result
from dlplug.storage.json_lines import read_rows


def outcome(
    trainer: lightning.Trainer,
    task: lightning.LightningModule,
    datamodule: lightning.LightningDataModule,
    run: Run | None,
    best: Checkpoint | None,
    records: str | None = None,
) -> Result:
    """Test once, record and draw; called in all processes.

    Args:
        trainer: After the training.
        task: That was trained.
        datamodule: With which.
        run: Where everything is kept; None for Lightning's trial run, which keeps nothing.
        best: Knows the best weights; None for the last ones.
        records: See `Result`.
    """
    result = Result("fit", is_main=trainer.is_global_zero)
    result.epochs, result.records = trainer.current_epoch, records
    if run is None:
        result.metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
    else:
        checkpoint = Path(best.best_model_path) if best and best.best_model_path else None
        tested = _test(trainer, task, datamodule, checkpoint)
        if result.is_main:
            result.run, result.checkpoint = run.path, checkpoint
            if tested:
                result.metrics, result.batches = tested, limited(trainer.test_loop)
                result.tests = record_test(run, result)
            rows = read_metrics(run.metrics)
            monitor = (best.monitor, best.mode) if best else ("val_loss", "min")
            result.metrics = metrics_of_epoch(rows, best_epoch(rows, *monitor)) | tested
            result.picture = _draw(run, rows, tested, *monitor)
        if any(isinstance(callback, SpikeRollback) for callback in trainer.callbacks):
            result.rollbacks = len(read_rows(run.path / ROLLBACKS))
    result.quarantined = gathered(datamodule)
    return result


def _test(
    trainer: lightning.Trainer,
    task: lightning.LightningModule,
    datamodule: lightning.LightningDataModule,
    checkpoint: Path | None,
) -> dict[str, float]:
    """Metrics of the test; empty when there is nothing to test on."""
    if not has_test_data(task, datamodule):
        return {}
    values = trainer.test(
        task,
        datamodule=datamodule,
        ckpt_path=checkpoint,
        weights_only=True if checkpoint else None,
        verbose=False,
    )
    return {name: float(value) for part in values for name, value in part.items()}


def _draw(run: Run, rows: Rows, tested: dict[str, float], monitor: str, mode: str) -> Path | None:
    values = [f"{name.replace('_', ' ')} {value:.4f}" for name, value in tested.items()]
    title = f"{run.name}/{run.number}" + ("  " + ", ".join(values) if values else "")
    try:
        return draw_learning_curves(rows, run.picture, title=title, monitor=monitor, mode=mode)
    except ImportError:
        print(
            "no picture of the learning curves: matplotlib is not installed"
            " (pip install 'dlplug[pictures]')",
            file=sys.stderr,
        )
        return None
