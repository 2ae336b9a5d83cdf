"""swa: the mean, its BatchNorm statistics, where it is used, and that checkpoints continue it."""

import lightning
import pytest
import torch
from torch import nn

from dlplug.callbacks.checkpoint import Checkpoint
from dlplug.callbacks.ema import EMA
from dlplug.callbacks.freeze import Freeze
from dlplug.callbacks.swa import SWA
from dlplug.data.digits import Digits
from dlplug.errors import InvalidValueError
from dlplug.run.quiet import quiet
from tests.callbacks.conftest import load_and_test, make_task, train
from tests.callbacks.two_processes import PAIR, in_two_processes


class Watch(lightning.Callback):
    """Keeps the weights after each epoch's last step and within each validation."""

    def __init__(self):
        self.after_epoch = []
        self.validated = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if batch_idx == 4:
            self.after_epoch.append(copy(pl_module))

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if not trainer.sanity_checking and batch_idx == 0:
            self.validated.append(copy(pl_module))


def copy(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def mean(states):
    return {
        n: torch.stack([s[n].double() for s in states]).mean(dim=0)
        for n in states[0]
        if "running" not in n and "num_batches" not in n
    }


def assert_close(found, expected):
    for name, tensor in expected.items():
        # One rounding of float32 for each epoch in the mean.
        torch.testing.assert_close(found[name].double(), tensor, rtol=1e-5, atol=1e-6)


def with_norm():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10))


@pytest.mark.parametrize("start", [2, 0.5])
def test_it_is_the_mean_of_the_last_epochs(task, fit, start):
    """Of the last two of four; before, the weights are used; the training is undisturbed."""
    module, watch, keep = task(), Watch(), Checkpoint()
    fit(module, SWA(start), watch, keep, max_epochs=4)
    ends = watch.after_epoch
    assert_close(watch.validated[1], mean([ends[1]]))
    assert_close(watch.validated[2], mean([ends[2]]))
    assert_close(watch.validated[3], mean(ends[2:]))
    content = torch.load(keep.last_model_path, weights_only=True)
    assert_close(content["state_dict"], mean(ends[2:]))
    assert torch.equal(
        content["swa"]["trained"]["architecture.layers.1.weight"],
        ends[-1]["architecture.layers.1.weight"],
    )
    plain, undisturbed = task(), Watch()
    fit(plain, undisturbed, max_epochs=4)
    torch.testing.assert_close(ends, undisturbed.after_epoch, rtol=0, atol=0)
    with quiet():
        trainer = lightning.Trainer(logger=False, accelerator="cpu", enable_progress_bar=False)
    load_and_test(trainer, module, keep.last_model_path)
    assert_close(copy(module), mean(ends[2:]))


def test_batchnorm_has_the_statistics_of_the_mean(task, fit):
    """As torch.optim.swa_utils.update_bn finds them; the trained statistics stay."""
    module, watch, keep = task(with_norm()), Watch(), Checkpoint()
    # Every record, so that the order of the batches does not matter.
    fit(module, SWA(1), watch, keep, max_epochs=3, limit_train_batches=1.0)
    found = torch.load(keep.last_model_path, weights_only=True)["state_dict"]
    data = Digits()
    data.setup("fit")
    reference = with_norm()
    weights = {n.removeprefix("architecture."): t for n, t in found.items() if n[:4] == "arch"}
    reference.load_state_dict(weights)
    torch.optim.swa_utils.update_bn(data.train_dataloader(), reference)
    for name in ("running_mean", "running_var"):
        # Means over batches that are drawn in another order, the last of them smaller.
        torch.testing.assert_close(
            weights[f"1.{name}"], reference.state_dict()[f"1.{name}"], rtol=0.05, atol=0.02
        )
    plain, other = task(with_norm()), Watch()
    fit(plain, other, Checkpoint(), max_epochs=3, limit_train_batches=1.0)
    torch.testing.assert_close(watch.after_epoch, other.after_epoch, rtol=0, atol=0)


def test_a_frozen_batchnorm_keeps_its_statistics(task, fit):
    """The mean is used with those that it was trained with."""
    keep, norm = Checkpoint(), with_norm()
    norm[1].running_mean += 0.25
    before = copy(norm[1])
    fit(task(norm), Freeze(["1"]), SWA(1), keep, max_epochs=3)
    found = torch.load(keep.last_model_path, weights_only=True)["state_dict"]
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(found[f"architecture.1.{name}"], before[name])


def test_statistics_are_taken_without_a_validation_too(task, fit):
    """The checkpoint of an epoch without validation does not hold averaged statistics."""
    keep = Checkpoint(monitor="train_loss")
    fit(task(with_norm()), SWA(0), keep, max_epochs=2, limit_val_batches=0)
    found = torch.load(keep.last_model_path, weights_only=True)["state_dict"]
    assert found["architecture.1.num_batches_tracked"] == 5


class Counted:
    """A transform that changes nothing, and counts the batches that it has got."""

    def __init__(self):
        self.count = 0

    def __call__(self, inputs):
        self.count += 1
        return inputs


@pytest.mark.parametrize("validated", [0, 2])
def test_statistics_are_taken_without_transforms(task, fit, validated):
    """Whether the epochs are validated or not; the batches that are trained on have them all."""
    transform, keep = Counted(), Checkpoint(monitor="train_loss")
    data = Digits(transforms=[transform])
    fit(task(with_norm()), SWA(0), keep, data=data, max_epochs=3, limit_val_batches=validated)
    found = torch.load(keep.last_model_path, weights_only=True)["state_dict"]
    assert found["architecture.1.num_batches_tracked"] == 5
    assert transform.count == 3 * 5


class Read(lightning.Callback):
    """Mean and variance of each batch that statistics are taken from."""

    def __init__(self):
        self.means, self.variances = [], []

    def on_fit_start(self, trainer, pl_module):
        pl_module.architecture[1].register_forward_pre_hook(self.note)

    def note(self, norm, inputs):
        if norm.momentum is None:
            self.means.append(inputs[0].mean(dim=0))
            self.variances.append(inputs[0].var(dim=0))


def average_in_a_process(folder):
    """In one of two processes: what the statistics were taken from, and what they are."""
    module, read = make_task(with_norm()), Read()
    train(folder, module, SWA(0), read, **PAIR)
    own = {"means": torch.stack(read.means), "variances": torch.stack(read.variances)}
    norm = module.architecture[1]
    return own | {"mean": norm.running_mean, "variance": norm.running_var}


@pytest.mark.slow
def test_statistics_are_of_the_batches_of_all_processes(tmp_path):
    """Both validate and keep the same ones, though each has seen other batches."""
    both = in_two_processes(average_in_a_process, tmp_path)
    assert [len(one["means"]) for one in both] == [5, 5]
    own = [one["means"].mean(dim=0) for one in both]
    assert not torch.allclose(*own, rtol=0.01)
    for found, batches in (("mean", "means"), ("variance", "variances")):
        assert torch.equal(both[0][found], both[1][found])
        # Sums in another order, in float32.
        expected = torch.cat([one[batches] for one in both]).mean(dim=0)
        torch.testing.assert_close(both[0][found], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("at", [1, 3])
def test_a_resumed_training_continues_both(task, fit, at):
    """Resumed before and after the first mean: weights and mean, bit by bit."""
    keep = Checkpoint()
    fit(task(with_norm()), SWA(2), keep, max_epochs=4)
    expected = torch.load(keep.last_model_path, weights_only=True)
    first = Checkpoint()
    fit(task(with_norm()), SWA(2), first, max_epochs=4, max_steps=5 * at)
    resumed = Checkpoint()
    fit(task(with_norm()), SWA(2), resumed, max_epochs=4, ckpt_path=first.last_model_path)
    found = torch.load(resumed.last_model_path, weights_only=True)
    for key in ("state_dict", "swa", "optimizer_states"):
        torch.testing.assert_close(found[key], expected[key], rtol=0, atol=0)


class Crash(lightning.Callback):
    """Before the statistics of the second mean are taken."""

    def on_validation_start(self, trainer, pl_module):
        if trainer.current_epoch == 3:
            raise RuntimeError("the machine is on fire")


def test_each_training_has_a_mean_of_its_own(task, fit):
    """Also after one that crashed: the same bits as in the first."""
    callback, modules = SWA(2), [task(with_norm()) for _ in range(3)]
    fit(modules[0], callback, max_epochs=4)
    fit(modules[1], callback, max_epochs=4)
    torch.testing.assert_close(copy(modules[1]), copy(modules[0]), rtol=0, atol=0)
    with pytest.raises(RuntimeError, match="on fire"):
        fit(task(with_norm()), callback, Crash(), max_epochs=4)
    fit(modules[2], callback, max_epochs=4)
    torch.testing.assert_close(copy(modules[2]), copy(modules[0]), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: [SWA(-1)], "start = -1"),
        (lambda: [SWA(1.5)], "start = 1.5"),
        (lambda: [SWA(2)], "start = 2 comes after the 2 epochs"),
        (lambda: [SWA(1), EMA()], "ema averages the weights as well"),
    ],
)
def test_values_out_of_range_are_refused(task, fit, make, message):
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match=message):
        fit(task(), *make())
