"""EarlyStopping: when it stops, and what it says about unknown metrics."""

import lightning
import pytest

from dlplug.callbacks.checkpoint import Checkpoint
from dlplug.callbacks.early_stopping import EarlyStopping
from dlplug.errors import InvalidValueError


class SetMetric(lightning.Callback):
    def __init__(self, values):
        self.values = values

    def on_validation_epoch_end(self, trainer, pl_module):
        self.log("val_score", self.values[trainer.current_epoch])


@pytest.mark.parametrize(
    ("values", "arguments", "epochs"),
    [
        ([3, 2, 2, 2, 2, 2], {"patience": 2}, 4),
        ([1, 2, 3, 3, 3, 3], {"patience": 2, "mode": "max"}, 5),
        ([3, 2.9, 2.8, 2, 2, 2], {"patience": 2, "min_delta": 0.5}, 3),
        ([3, 2, 1, 0.5, 0.4, 0.3], {"patience": 2}, 6),
        ([3, float("nan"), 1, 1, 1, 1], {"patience": 5}, 2),
    ],
    ids=["no longer falls", "no longer rises", "falls too little", "keeps falling", "NaN"],
)
def test_it_stops_after_the_patience(task, fit, values, arguments, epochs):
    """The number of epochs trained, for several courses of the metric."""
    values = [float(value) for value in values]
    callback = EarlyStopping(monitor="val_score", **arguments)
    trainer = fit(task(), SetMetric(values), callback, max_epochs=6, limit_train_batches=1)
    assert trainer.current_epoch == epochs


def test_a_misspelt_metric_is_named(task, fit):
    """With the nearest match."""
    with pytest.raises(InvalidValueError, match="monitor = 'val_los' is not logged") as error:
        fit(task(), EarlyStopping(monitor="val_los"))
    assert "did you mean 'val_loss'" in str(error.value)


def test_a_raised_patience_counts_after_a_resume(task, fit):
    """Lightning alone would take the old patience from the checkpoint."""
    keep = Checkpoint(monitor="val_score")
    values = SetMetric([1.0] * 9)
    fit(task(), values, EarlyStopping("val_score", patience=2), keep, max_epochs=9)
    patient = EarlyStopping("val_score", patience=4)
    trainer = fit(
        task(),
        values,
        patient,
        Checkpoint("val_score"),
        max_epochs=9,
        ckpt_path=keep.last_model_path,
    )
    assert trainer.current_epoch == 5


@pytest.mark.parametrize("second", [2.0, float("nan")], ids=["worse", "NaN"])
def test_the_least_number_of_epochs_holds_after_a_resume(task, fit, second):
    """Told to stop after the second epoch, it ends after the fourth, although the third is best."""
    values = SetMetric([1.0, second, 0.5, 0.4, 0.3, 0.2])

    def trained(epochs, **arguments):
        keep = Checkpoint("val_score")
        stopping = EarlyStopping("val_score", patience=1)
        trainer = fit(task(), values, stopping, keep, max_epochs=epochs, min_epochs=4, **arguments)
        return trainer.current_epoch, keep.last_model_path

    assert trained(6)[0] == 4
    assert trained(6, ckpt_path=trained(3)[1])[0] == 4


def test_a_second_training_is_not_stopped_by_the_first(task, fit):
    """Only a checkpoint tells that a training was stopped; nor does one of the second say so."""
    stopping = EarlyStopping("val_score", patience=1)
    assert fit(task(), SetMetric([1.0, 1.0, 1.0]), stopping, max_epochs=3).current_epoch == 2
    keep = Checkpoint("val_score")
    better = SetMetric([0.5, 0.4, 0.3, 0.2])
    assert fit(task(), better, stopping, keep, max_epochs=2).current_epoch == 2
    path = keep.last_model_path
    resumed = fit(task(), better, EarlyStopping("val_score", 1), max_epochs=4, ckpt_path=path)
    assert resumed.current_epoch == 4


@pytest.mark.parametrize("arguments", [{"mode": "best"}, {"patience": 0}, {"min_delta": -1.0}])
def test_values_out_of_range_are_refused(arguments):
    """The message holds the value."""
    name, value = next(iter(arguments.items()))
    with pytest.raises(InvalidValueError, match=f"{name} = {value!r}"):
        EarlyStopping(**arguments)
