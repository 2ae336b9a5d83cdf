"""SpikeRollback: back to the state before a spike, on with the data after it."""

import copy
import json

import lightning
import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy

from dlplug.callbacks.checkpoint import Checkpoint
from dlplug.callbacks.ema import EMA
from dlplug.callbacks.spike_rollback import SpikeRollback
from dlplug.errors import InvalidValueError, RunError
from dlplug.optim import FusedAdamW
from dlplug.run.checkpoint_io import DurableCheckpointIO
from dlplug.storage.checkpoint import read_checkpoint
from dlplug.storage.saver import Saver


class Scale(lightning.Callback):
    """Multiply the inputs of the batches in which these steps are taken."""

    def __init__(self, steps, factor=1e4):
        self.steps, self.factor, self.times = steps, factor, 0

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step + 1 in self.steps:
            batch[0].mul_(self.factor)
            self.times += 1


class Watch(lightning.Callback):
    """Weights, optimizer and learning rate after each step."""

    def __init__(self):
        self.seen = {}

    def on_train_batch_end(self, trainer, pl_module, *arguments):
        optimizer = trainer.optimizers[0]
        self.seen[trainer.global_step] = (
            copy.deepcopy((pl_module.architecture.state_dict(), optimizer.state_dict()["state"])),
            optimizer.param_groups[0]["lr"],
        )


def spike_rollback(**arguments):
    return SpikeRollback(**({"window": 8, "patience": 2} | arguments))


def trained(task, fit, *callbacks, scheduler=None, module=None, **arguments):
    module = module or task()
    module.make_scheduler = scheduler
    chosen = {"max_epochs": 3, "limit_train_batches": 8, "plugins": [DurableCheckpointIO()]}
    chosen |= arguments
    trainer = fit(module, *callbacks, Checkpoint(every_n_steps=4), **chosen)
    return module, trainer


def falling(optimizer, total_steps):
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / total_steps)


def test_weights_and_optimizer_come_back_and_the_rest_goes_on(task, fit, tmp_path, capsys):
    """After steps 13 and 14 are bad: the state of step 12, the schedule and data of step 15."""
    spoil, watch, rollback = Scale((13, 14)), Watch(), spike_rollback()
    _, trainer = trained(task, fit, spoil, rollback, watch, scheduler=falling)
    assert spoil.times == 2 and rollback.count == 1 and trainer.global_step == 24
    # The second loss is read one step late: step 15 is undone as well.
    (before, _), (after, rate) = watch.seen[12], watch.seen[15]
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert rate == pytest.approx(0.01 * (1 - 15 / 24))
    (row,) = map(json.loads, (tmp_path / "rollbacks.jsonl").read_text().splitlines())
    assert row.pop("loss") > 100
    assert row == {
        "step": 15,
        "first_bad_step": 13,
        "checkpoint_step": 12,
        "skipped_steps": 3,
        "skipped_from": {"epoch": 1, "batch": 4},
        "skipped_to": {"epoch": 1, "batch": 6},
    }
    text = "step 15: a spike since step 13, the loss is"
    assert text in capsys.readouterr().err


def test_losses_are_compared_with_those_of_the_state(task, fit):
    """What came after the checkpoint may have been lower, and would make spikes of good losses."""
    good = {}

    class Look(lightning.Callback):
        def on_train_batch_end(self, trainer, *arguments):
            good[trainer.global_step] = rollback.state_dict()["good"]

    rollback = spike_rollback()
    trained(task, fit, Scale((15, 16)), rollback, Look())
    assert rollback.count == 1 and good[17] == good[12] != good[16]


def test_a_checkpoint_of_the_spike_is_not_used(task, fit, tmp_path):
    """Where the last one is from the spike's second step, the one before it is."""
    spoil, rollback, watch = Scale((15, 16)), spike_rollback(), Watch()
    trained(task, fit, spoil, rollback, watch)
    (row,) = map(json.loads, (tmp_path / "rollbacks.jsonl").read_text().splitlines())
    assert (row["step"], row["checkpoint_step"]) == (17, 12)
    torch.testing.assert_close(watch.seen[17][0], watch.seen[12][0], rtol=0, atol=0)


def test_every_checkpoint_is_written(task, fit):
    """One that a slow disk would leave out is not there to go back to."""
    saver = Saver()
    trained(task, fit, spike_rollback(), plugins=[DurableCheckpointIO(saver)])
    assert saver.keeps_all


def test_averages_come_back_too(task, fit, tmp_path):
    """The average is the checkpoint's, the weights are those it was trained on from."""
    averages = {}

    class Look(lightning.Callback):
        def on_train_batch_end(self, trainer, pl_module, *arguments):
            averages[trainer.global_step] = copy.deepcopy((ema.average, ema.num_updates))

    ema, rollback, watch = EMA(decay=0.9), spike_rollback(), Watch()
    trained(task, fit, Scale((13, 14)), rollback, ema, Look(), watch)
    assert rollback.count == 1
    torch.testing.assert_close(averages[15], averages[12], rtol=0, atol=0)
    torch.testing.assert_close(watch.seen[15][0], watch.seen[12][0], rtol=0, atol=0)
    assert averages[16][1] == averages[12][1] + 1


def test_a_resumed_training_gives_the_same_bits(task, fit, tmp_path):
    """After a rollback, and in the middle of a spike; rows that come again are not kept twice."""
    calls = lambda: (Scale((13, 14)), spike_rollback())  # noqa: E731 - two new ones each time
    whole, _ = trained(task, fit, *calls())
    expected = (tmp_path / "rollbacks.jsonl").read_text()
    for stop in (14, 18):
        keep = tmp_path / f"{stop}.ckpt"

        class Stop(lightning.Callback):
            def on_train_batch_end(self, trainer, *arguments, stop=stop, keep=keep):
                if trainer.global_step == stop:
                    trainer.save_checkpoint(keep)
                    raise KeyboardInterrupt

        with pytest.raises((KeyboardInterrupt, SystemExit)):
            trained(task, fit, *calls(), Stop())
        spoil, rollback = calls()
        parts, _ = trained(task, fit, spoil, rollback, ckpt_path=keep)
        assert rollback.count == 1
        torch.testing.assert_close(parts.state_dict(), whole.state_dict(), rtol=0, atol=0)
        assert (tmp_path / "rollbacks.jsonl").read_text() == expected


def test_accumulated_steps_are_judged_whole(task, fit, tmp_path):
    """The mean over the batches of a step, and no rollback between them."""
    spoil, rollback = Scale((7, 8)), spike_rollback()
    trained(task, fit, spoil, rollback, accumulate_grad_batches=2)
    (row,) = map(json.loads, (tmp_path / "rollbacks.jsonl").read_text().splitlines())
    assert spoil.times == 4 and (row["step"], row["checkpoint_step"]) == (9, 4)
    assert row["skipped_to"] == {"epoch": 2, "batch": 1}


def test_one_hard_batch_and_a_good_training_are_no_spikes(task, fit, tmp_path):
    """Bit by bit the same as without it."""
    weights = []
    for callbacks in ([Scale((13,), 3.0)], [Scale((13,), 3.0), spike_rollback()]):
        module, _ = trained(task, fit, *callbacks)
        weights.append(module.state_dict())
    torch.testing.assert_close(*weights, rtol=0, atol=0)
    assert not (tmp_path / "rollbacks.jsonl").exists() and callbacks[1].count == 0


def test_the_callback_can_be_added_to_a_running_training(task, fit, tmp_path):
    """A checkpoint from before knows nothing of it, nor of an average."""

    class Stop(lightning.Callback):
        def on_train_batch_start(self, trainer, *arguments):
            if trainer.global_step == 8:
                raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        trained(task, fit, Stop(), max_epochs=1, limit_train_batches=20)
    keep = tmp_path / "checkpoints" / "last.ckpt"
    before = read_checkpoint(keep)
    rollback, ema, watch = spike_rollback(window=4), EMA(decay=0.9), Watch()
    chosen = {"ckpt_path": keep, "max_epochs": 1, "limit_train_batches": 20}
    module = task()
    callbacks = (Scale((11, 12)), rollback, ema, watch)
    fit(module, *callbacks, Checkpoint(), plugins=[DurableCheckpointIO()], **chosen)
    assert before["global_step"] == 8 and rollback.count == 1
    assert ema.num_updates == 20 - 8 - 1  # none from the step that was undone
    ours = {f"architecture.{name}": weight for name, weight in watch.seen[13][0][0].items()}
    assert all(torch.equal(ours[name], before["state_dict"][name]) for name in ours)


def test_too_many_rollbacks_end_the_training(task, fit):
    """With what was tried; the state on the disk is from before."""
    rollback = spike_rollback(limit=1)
    with pytest.raises(RunError, match="and 1 rollbacks have not helped") as error:
        trained(task, fit, Scale((13, 14, 17, 18)), rollback)
    assert error.value.where == "epoch 3, batch 3" and rollback.count == 1


def test_without_an_older_checkpoint_the_training_goes_on(task, fit, tmp_path, capsys):
    """And says so."""
    rollback = spike_rollback(window=4)
    fit(task(), Scale((4, 5)), rollback, Checkpoint(), max_epochs=2, limit_train_batches=8)
    assert rollback.count == 0 and not (tmp_path / "rollbacks.jsonl").exists()
    assert "no checkpoint is older" in capsys.readouterr().err


def test_what_cannot_be_put_back_is_refused(task, fit, monkeypatch):
    """Before anything is trained."""
    with pytest.raises(InvalidValueError, match="no checkpoints to go back to"):
        fit(task(), spike_rollback())
    for name, kind in (
        ("SingleDeviceStrategy", FusedAdamW),
        ("DeepSpeedStrategy", SingleDeviceStrategy),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"dlplug.callbacks.spike_rollback.{name}", kind)
            refused(task, fit)


def refused(task, fit):
    with pytest.raises(InvalidValueError, match=r"sharded \(SingleDevice"):
        fit(task(), spike_rollback(), Checkpoint())


@pytest.mark.parametrize("wrong", [{"window": 1}, {"threshold": 0}, {"patience": 0}, {"limit": -1}])
def test_values_out_of_range_are_refused(wrong):
    """Each names itself."""
    ((name, value),) = wrong.items()
    with pytest.raises(InvalidValueError, match=f"{name} = {value}"):
        spike_rollback(**wrong)


def test_the_state_is_plain(task, fit, tmp_path):
    """It stands in every checkpoint."""
    trained(task, fit, spike_rollback())
    state = read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["callbacks"]["SpikeRollback"]
    assert len(state["good"]) == 8 and state["count"] == 0 and state["pending"] > 0
