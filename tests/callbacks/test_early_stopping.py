"""EarlyStopping: when it stops, and what it says about unknown metrics."""

import lightning
import pytest

from dlplug.callbacks.early_stopping import EarlyStopping
from dlplug.errors import InvalidValueError


class SetMetric(lightning.Callback):
    """Logs `val_score`, one value an epoch."""

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


@pytest.mark.parametrize("arguments", [{"mode": "best"}, {"patience": 0}, {"min_delta": -1.0}])
def test_values_out_of_range_are_refused(arguments):
    """The message holds the value."""
    name, value = next(iter(arguments.items()))
    with pytest.raises(InvalidValueError, match=f"{name} = {value!r}"):
        EarlyStopping(**arguments)
