"""Resumption: Lightning's callbacks go on where a checkpoint left them, as dlplug's do."""

import lightning.pytorch.callbacks as lightning_callbacks
import pytest

from dlplug.callbacks.accumulation_schedule import AccumulationSchedule
from dlplug.callbacks.checkpoint import Checkpoint
from dlplug.callbacks.early_stopping import EarlyStopping
from dlplug.callbacks.implicit.resumption import Resumption
from tests.callbacks.test_early_stopping import SetMetric


@pytest.fixture(params=[EarlyStopping, lightning_callbacks.EarlyStopping], ids=["dlplug", "theirs"])
def stopping(request):
    """Stop by `val_score` after so many epochs without a better one."""
    return lambda patience: request.param("val_score", patience=patience)


def test_a_raised_patience_counts_after_a_resume(task, fit, stopping):
    """Lightning alone would take the old patience from the checkpoint."""
    keep = Checkpoint(monitor="val_score")
    values = SetMetric([1.0] * 9)
    fit(task(), values, stopping(2), keep, Resumption(), max_epochs=9)
    arguments = {"max_epochs": 9, "ckpt_path": keep.last_model_path}
    callbacks = (values, stopping(4), Checkpoint("val_score"), Resumption())
    assert fit(task(), *callbacks, **arguments).current_epoch == 5


@pytest.mark.parametrize("second", [2.0, float("nan")], ids=["worse", "NaN"])
def test_the_least_number_of_epochs_holds_after_a_resume(task, fit, stopping, second):
    """Told to stop after the second epoch, it ends after the fourth, although the third is best."""
    values = SetMetric([1.0, second, 0.5, 0.4, 0.3, 0.2])

    def trained(epochs, **arguments):
        keep = Checkpoint("val_score")
        callbacks = (values, stopping(1), keep, Resumption())
        trainer = fit(task(), *callbacks, max_epochs=epochs, min_epochs=4, **arguments)
        return trainer.current_epoch, keep.last_model_path

    assert trained(6)[0] == 4
    assert trained(6, ckpt_path=trained(3)[1])[0] == 4


def test_a_second_training_is_not_stopped_by_the_first(task, fit, stopping):
    """Only a checkpoint tells that a training was stopped; nor does one of the second say so."""
    first, again = stopping(1), Resumption()
    worse, better = SetMetric([1.0, 1.0, 1.0]), SetMetric([0.5, 0.4, 0.3, 0.2])
    assert fit(task(), worse, first, again, max_epochs=3).current_epoch == 2
    keep = Checkpoint("val_score")
    assert fit(task(), better, first, keep, again, max_epochs=2).current_epoch == 2
    path = keep.last_model_path
    resumed = fit(task(), better, stopping(1), again, max_epochs=4, ckpt_path=path)
    assert resumed.current_epoch == 4


@pytest.mark.parametrize(
    "kind", [AccumulationSchedule, lightning_callbacks.GradientAccumulationScheduler]
)
def test_a_schedule_of_accumulation_holds_within_an_epoch(task, fit, kind):
    """Five batches in steps of two, of which the first training makes one, are three steps."""
    keep = Checkpoint()
    fit(task(), kind({0: 2}), keep, Resumption(), max_epochs=1, max_steps=1)
    path = keep.last_model_path
    trainer = fit(task(), kind({0: 2}), Resumption(), max_epochs=1, ckpt_path=path)
    assert trainer.global_step == 3
