"""EMA: the average, where it is used, and that checkpoints continue it."""

import lightning
import pytest
import torch
from torch import nn

from dlplug.callbacks.checkpoint import Checkpoint
from dlplug.callbacks.ema import EMA
from dlplug.errors import InvalidValueError
from tests.callbacks.conftest import load_and_test


class Watch(lightning.Callback):
    """Keeps the weights after each step and within each validation."""

    def __init__(self):
        self.after_step = []
        self.validated = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.after_step.append(copy(pl_module))

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if not trainer.sanity_checking:
            self.validated.append(copy(pl_module))


def copy(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def average(start, steps, decay):
    """The formula, step by step, in float64."""
    mean = {name: tensor.double() for name, tensor in start.items()}
    for n, weights in enumerate(steps, start=1):
        d = min(decay, (1 + n) / (10 + n))
        mean = {name: d * mean[name] + (1 - d) * weights[name].double() for name in mean}
    return mean


def assert_close(found, expected):
    for name, tensor in expected.items():
        # One rounding of float32 for each of ten updates.
        torch.testing.assert_close(found[name].double(), tensor, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("decay", [0.3, 0.9])
def test_it_equals_the_formula(task, fit, decay):
    """After every step, with the rising decay; the trained weights stay as they are."""
    module, watch = task(), Watch()
    start = copy(module)
    fit(module, EMA(decay=decay), watch)
    assert_close(copy(module), average(start, watch.after_step, decay))
    plain = task()
    undisturbed = Watch()
    fit(plain, undisturbed)
    for mine, other in zip(watch.after_step, undisturbed.after_step, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=0)


def test_each_training_has_an_average_of_its_own(task, fit):
    """Its decay rises from the start: the same bits as in the first."""
    callback, first, second = EMA(decay=0.9), task(), task()
    fit(first, callback)
    fit(second, callback)
    torch.testing.assert_close(copy(second), copy(first), rtol=0, atol=0)


def test_the_average_is_validated(task, fit):
    """Within a validation the model holds the average of the steps so far."""
    module, watch = task(), Watch()
    start = copy(module)
    fit(module, EMA(decay=0.9), watch)
    assert len(watch.validated) == 4
    assert_close(watch.validated[0], average(start, watch.after_step[:5], 0.9))
    assert_close(watch.validated[2], average(start, watch.after_step, 0.9))


def test_a_checkpoint_holds_the_average_and_the_weights(task, fit, tmp_path):
    """state_dict is the average, ema holds what the training continues with."""
    module, watch, keep = task(), Watch(), Checkpoint()
    start = copy(module)
    trainer = fit(module, EMA(decay=0.9), watch, keep)
    content = torch.load(keep.last_model_path, weights_only=True)
    assert_close(content["state_dict"], average(start, watch.after_step, 0.9))
    torch.testing.assert_close(content["ema"]["trained"], watch.after_step[-1], rtol=0, atol=0)
    assert trainer.global_step == 10


def test_a_test_after_the_training_uses_the_average(task, fit):
    """In the same process: Lightning's own callback loads the trained weights there."""
    module, keep = task(), Checkpoint()
    trainer = fit(module, EMA(decay=0.9), keep)
    content = torch.load(keep.last_model_path, weights_only=True)
    load_and_test(trainer, module, keep.last_model_path)
    torch.testing.assert_close(copy(module), dict(content["state_dict"]), rtol=0, atol=0)
    trained = content["ema"]["trained"]
    assert any(not torch.equal(copy(module)[name], trained[name]) for name in trained)


def test_a_resumed_training_continues_both(task, fit):
    """Two epochs and two more equal four: weights and average, bit by bit."""
    whole, keep = task(), Checkpoint()
    fit(whole, EMA(decay=0.9), keep, max_epochs=4)
    expected = torch.load(keep.last_model_path, weights_only=True)
    first, keep = task(), Checkpoint()
    fit(first, EMA(decay=0.9), keep, max_epochs=2)
    again, resumed = task(), Checkpoint()
    fit(again, EMA(decay=0.9), resumed, max_epochs=4, ckpt_path=keep.last_model_path)
    found = torch.load(resumed.last_model_path, weights_only=True)
    for key in ("state_dict", "ema", "optimizer_states"):
        torch.testing.assert_close(found[key], expected[key], rtol=0, atol=0)


def test_buffers_are_averaged_and_counters_copied(task, fit):
    """Running statistics of a batch norm belong to the averaged weights."""
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10))
    module, watch = task(model), Watch()
    start = copy(module)
    fit(module, EMA(decay=0.9), watch)
    counter = "architecture.1.num_batches_tracked"
    expected = average(start, watch.after_step, 0.9)
    assert module.state_dict()[counter] == watch.after_step[-1][counter] == 10
    del expected[counter]
    assert_close(copy(module), expected)


def test_a_bfloat16_model_has_a_float32_average(task, fit):
    """With decay 0.999 a bfloat16 average would not move at all."""
    module, watch, keep = task(), Watch(), Checkpoint()
    fit(module, EMA(decay=0.999, every_n_steps=1), watch, keep, precision="bf16-true")
    content = torch.load(keep.last_model_path, weights_only=True)
    weight = content["state_dict"]["architecture.layers.1.weight"]
    assert weight.dtype == torch.float32
    assert content["ema"]["trained"]["architecture.layers.1.weight"].dtype == torch.bfloat16
    assert not torch.equal(weight, weight.bfloat16().float())


def test_accumulated_batches_are_one_step(task, fit):
    """With two batches a step, ten batches are six updates: three in each epoch."""
    callback = EMA(decay=0.9)
    fit(task(), callback, accumulate_grad_batches=2)
    assert callback.num_updates == 6


def test_updates_can_be_rarer(task, fit):
    """Every third of ten steps."""
    callback = EMA(decay=0.9, every_n_steps=3)
    fit(task(), callback)
    assert callback.num_updates == 3


@pytest.mark.parametrize("arguments", [{"decay": 1.0}, {"decay": -0.1}, {"every_n_steps": 0}])
def test_values_out_of_range_are_refused(arguments):
    """The message holds the value."""
    name, value = next(iter(arguments.items()))
    with pytest.raises(InvalidValueError, match=f"{name} = {value}"):
        EMA(**arguments)
