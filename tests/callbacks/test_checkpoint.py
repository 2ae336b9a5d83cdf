"""Checkpoint: best and last, complete files that load safely."""

import os

import lightning
import pytest
import torch

from dlplug.callbacks.checkpoint import Checkpoint
from dlplug.data.digits import Digits
from dlplug.errors import InvalidValueError
from dlplug.run.quiet import quiet

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


def test_a_training_that_ends_before_its_first_validation_is_kept(task, fit, tmp_path):
    """A few steps; once there has been a best one, a few more do not take its place."""
    keep = Checkpoint()
    fit(task(), keep, max_steps=2, max_epochs=3)
    assert load(keep.best_model_path)["global_step"] == 2
    keep = Checkpoint()
    fit(task(), keep, max_epochs=1)
    best, steps = keep.best_model_path, load(keep.best_model_path)["global_step"]
    fit(task(), Checkpoint(), max_steps=steps + 1, max_epochs=3, ckpt_path=keep.last_model_path)
    assert load(best)["global_step"] == steps
    assert load(keep.last_model_path)["global_step"] == steps + 1


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
    keep = Checkpoint(every_n_steps=2)
    steps = steps_of_saves(keep)
    fit(task(), keep, max_epochs=2, limit_train_batches=4)
    assert steps == [2, 4, 6, 8]


def test_its_state_holds_no_path(task, fit):
    """A run folder can be moved."""
    keep = Checkpoint()
    fit(task(), keep)
    (state,) = load(keep.last_model_path)["callbacks"].values()
    assert set(state) == {"best_model_score"}
    assert isinstance(state["best_model_score"], float)


class SpendTime(lightning.Callback):
    """Let the checkpoint's clock advance by so many seconds at each batch."""

    def __init__(self, keep, seconds):
        self.seconds = seconds
        self.now = 0.0
        keep.interval.clock = lambda: self.now

    def on_train_batch_start(self, *args):
        self.now += self.seconds


def steps_of_saves(keep):
    """Let ``keep`` remember the optimizer step of each ``last.ckpt``, and what called for it."""
    steps, write = [], keep._write_last

    def remember(trainer, again=False):
        steps.append(trainer.global_step)
        write(trainer, again)

    keep._write_last = remember
    return steps


class Stop(lightning.Callback):
    """End the training after its third batch."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        trainer.should_stop |= batch_idx == 2


def test_a_stop_waits_for_the_step_of_accumulated_gradients(task, fit):
    """A validation afterwards writes nothing."""
    keep, module = Checkpoint(), task()
    steps = steps_of_saves(keep)
    trainer = fit(module, Stop(), keep, accumulate_grad_batches=2)
    progress = load(keep.last_model_path)["loops"]["fit_loop"]
    assert progress["epoch_progress"]["current"]["processed"] == 0
    assert progress["epoch_loop.batch_progress"]["current"]["processed"] == 4
    saved = len(steps)
    with quiet():
        trainer.validate(module, Digits(), verbose=False)
    assert trainer.global_step == 2 and len(steps) == saved


def test_last_is_written_by_the_minute(task, fit):
    """By default, at the first batch after 60 seconds; an epoch's end counts as well."""
    keep = Checkpoint()
    steps = steps_of_saves(keep)
    # Seven batches an epoch: a minute is over after batch 4 of each.
    fit(task(), SpendTime(keep, 15.1), keep, max_epochs=2, limit_train_batches=7)
    assert steps == [4, 7, 11, 14]


def test_accumulated_gradients_are_not_cut_off(task, fit):
    """It waits for the step of the optimizer: a checkpoint has no gradients."""
    keep = Checkpoint(every_seconds=1)
    steps, batches = steps_of_saves(keep), []

    class Count(lightning.Callback):
        def on_save_checkpoint(self, trainer, pl_module, checkpoint):
            batches.append(trainer.fit_loop.epoch_loop.batch_progress.current.ready)

    arguments = {"max_epochs": 1, "limit_train_batches": 8, "accumulate_grad_batches": 3}
    fit(task(), Count(), SpendTime(keep, 2), keep, **arguments)
    assert steps == [1, 2, 3]
    assert batches == [3, 6, 8, 8]  # the epoch's end writes best.ckpt and last.ckpt


def test_a_save_waits_for_the_validation_that_comes_next(task, fit):
    """Going on from before it, Lightning would leave it out."""
    keep = Checkpoint(every_seconds=1)
    steps, seen = steps_of_saves(keep), []

    class Count(lightning.Callback):
        def on_validation_end(self, trainer, pl_module):
            seen.append((trainer.global_step, len(steps)))

    arguments = {"max_epochs": 1, "limit_train_batches": 4, "val_check_interval": 2}
    fit(task(), Count(), SpendTime(keep, 2), keep, num_sanity_val_steps=0, **arguments)
    assert steps == [1, 2, 3, 4]
    assert seen == [(2, 1), (4, 3)]  # before the second and the fourth save


def test_the_best_score_is_that_of_the_file(task, fit, tmp_path):
    """A last.ckpt may know of a best state that a crash kept from the disk, or of another one."""
    keep = Checkpoint(monitor="val_score")
    fit(task(), SetMetric([2.0, 3.0]), keep)
    folder = tmp_path / "checkpoints"
    content = load(folder / "last.ckpt")
    content["callbacks"][keep.state_key]["best_model_score"] = 0.5
    torch.save(content, folder / "last.ckpt")
    again = Checkpoint(monitor="val_score")
    again.dirpath = str(folder)
    more = {"max_epochs": 3, "ckpt_path": folder / "last.ckpt"}
    fit(task(), SetMetric([2.0, 3.0, 1.0]), again, **more)
    assert float(again.best_model_score) == 1.0 and load(folder / "best.ckpt")["epoch"] == 2


def test_a_damaged_best_is_replaced_by_the_next(task, fit, tmp_path, capsys):
    """It is named; nothing is compared with what cannot be used."""
    fit(task(), SetMetric([2.0, 3.0]), Checkpoint(monitor="val_score"))
    folder = tmp_path / "checkpoints"
    (folder / "best.ckpt").write_bytes(b"torn")
    again = Checkpoint(monitor="val_score")
    again.dirpath = str(folder)
    more = {"max_epochs": 3, "ckpt_path": folder / "last.ckpt"}
    fit(task(), SetMetric([2.0, 3.0, 9.0]), again, **more)
    assert "best.ckpt is damaged" in capsys.readouterr().err
    assert load(folder / "best.ckpt")["epoch"] == 2


@pytest.mark.parametrize(
    "arguments",
    [{"mode": "best"}, {"every_n_steps": 0}, {"every_seconds": 0}, {"on_storage_error": "hope"}],
)
def test_values_out_of_range_are_refused(arguments):
    """The message holds the value."""
    name, value = next(iter(arguments.items()))
    with pytest.raises(InvalidValueError, match=f"{name} = {value!r}"):
        Checkpoint(**arguments)
