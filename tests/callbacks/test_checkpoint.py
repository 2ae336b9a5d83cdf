"""Checkpoint: best and last, complete files that load safely."""

import os

import lightning
import pytest
import torch

from dlplug.callbacks.checkpoint import Checkpoint
from dlplug.errors import InvalidValueError

LIGHTNING_KEYS = {
    "epoch",
    "global_step",
    "pytorch-lightning_version",
    "state_dict",
    "loops",
    "callbacks",
    "optimizer_states",
    "lr_schedulers",
}


class SetMetric(lightning.Callback):
    """Log one value after another as ``val_score``."""

    def __init__(self, values):
        self.values = values

    def on_validation_epoch_end(self, trainer, pl_module):
        self.log("val_score", self.values[trainer.current_epoch])


def load(path):
    return torch.load(path, weights_only=True)


def test_last_is_written_after_every_epoch(task, fit, tmp_path):
    """Though the metric gets worse: Lightning's save_last would keep the first epoch's."""
    keep = Checkpoint(monitor="val_score")
    fit(task(), SetMetric([1.0, 2.0, 3.0]), keep, max_epochs=3)
    folder = tmp_path / "checkpoints"
    assert sorted(os.listdir(folder)) == ["best.ckpt", "last.ckpt"]
    assert load(folder / "best.ckpt")["epoch"] == 0
    assert load(folder / "last.ckpt")["epoch"] == 2
    assert not (folder / "last.ckpt").is_symlink()


@pytest.mark.parametrize(("mode", "epoch"), [("min", 1), ("max", 2)])
def test_best_is_by_the_metric(task, fit, mode, epoch):
    """The smallest or the largest value, and never NaN."""
    keep = Checkpoint(monitor="val_score", mode=mode)
    fit(task(), SetMetric([2.0, 1.0, 3.0, float("nan")]), keep, max_epochs=4)
    assert load(keep.best_model_path)["epoch"] == epoch


def test_it_has_lightnings_keys(task, fit):
    """Both files can be used by Lightning alone, and load without running code."""
    keep = Checkpoint()
    fit(task(), keep)
    for path in (keep.best_model_path, keep.last_model_path):
        assert set(load(path)) >= LIGHTNING_KEYS


def test_a_misspelt_metric_is_named(task, fit):
    """What is logged, and the nearest match; nothing is trained in vain for hours."""
    with pytest.raises(InvalidValueError, match="monitor = 'val_acuracy' is not logged") as error:
        fit(task(), Checkpoint(monitor="val_acuracy"), max_epochs=1)
    assert "did you mean 'val_accuracy'" in str(error.value)
    assert "val_loss" in str(error.value)


def test_without_validation_the_best_is_the_latest(task, fit):
    """There is no val_loss to compare by."""
    keep = Checkpoint()
    fit(task(), keep, limit_val_batches=0)
    assert load(keep.best_model_path)["epoch"] == load(keep.last_model_path)["epoch"] == 1


def test_training_metrics_can_be_watched(task, fit):
    """train_loss falls, so the last epoch is the best."""
    keep = Checkpoint(monitor="train_loss")
    fit(task(), keep, limit_val_batches=0)
    assert load(keep.best_model_path)["epoch"] == 1


def test_validations_within_an_epoch_are_compared_too(task, fit):
    """With two validations per epoch the best one may be in the middle."""
    keep = Checkpoint()
    fit(task(), keep, max_epochs=1, limit_train_batches=6, val_check_interval=3)
    assert load(keep.last_model_path)["global_step"] == 6
    assert load(keep.best_model_path)["global_step"] in (3, 6)


def test_last_within_an_epoch(task, fit):
    """Every second step, but not twice at the end of an epoch."""
    steps = []

    class Seen(Checkpoint):
        def _write_last(self, trainer, again=False):
            steps.append(trainer.global_step)
            super()._write_last(trainer, again)

    fit(task(), Seen(every_n_steps=2), max_epochs=2, limit_train_batches=4)
    assert steps == [2, 4, 6, 8]


def test_its_state_holds_no_path(task, fit):
    """A run folder can be moved."""
    keep = Checkpoint()
    fit(task(), keep)
    (state,) = load(keep.last_model_path)["callbacks"].values()
    assert set(state) == {"best_model_score"}
    assert isinstance(state["best_model_score"], float)


@pytest.mark.parametrize("arguments", [{"mode": "best"}, {"every_n_steps": 0}])
def test_values_out_of_range_are_refused(arguments):
    """The message holds the value."""
    name, value = next(iter(arguments.items()))
    with pytest.raises(InvalidValueError, match=f"{name} = {value!r}"):
        Checkpoint(**arguments)
