"""EMA that the optimizer's step moves: the numbers, files and resumes of the pass after it."""

import copy
import functools
import logging

import lightning
import pytest
import torch
from torch import nn

from dlplug.callbacks import ema
from dlplug.callbacks.checkpoint import Checkpoint
from dlplug.callbacks.ema import EMA
from dlplug.callbacks.network import fused_average
from dlplug.optim import FusedAdamW
from tests.optim.adamw_cases import needs_kernels

pytestmark = needs_kernels
KEYS = ("state_dict", "ema", "optimizer_states")


@pytest.fixture
def separate(monkeypatch):
    """Make EMA take its own pass, as it does for other optimizers."""

    def switch(is_separate):
        chosen = (lambda *_: "asked for") if is_separate else fused_average.fused_average
        monkeypatch.setattr(ema, "fused_average", chosen)

    return switch


@pytest.fixture
def moved(monkeypatch):
    """How many averages each step of the optimizer was given, and how many it left."""
    seen = []
    take_back = FusedAdamW.take_back_averages

    def counting(self):
        given = self._given is not None
        left = take_back(self)
        seen.append((given, len(left)))
        return left

    monkeypatch.setattr(FusedAdamW, "take_back_averages", counting)
    return seen


class LeaveOut(lightning.Callback):
    """Takes the gradients away before some of the steps, as FiniteSteps does."""

    def __init__(self, every):
        self.every, self.seen, self.count = every, 0, 0

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.seen += 1
        if self.seen % (self.every + 1) == 0:
            self.count += 1
            optimizer.zero_grad()


def content(keep):
    return torch.load(keep.last_model_path, weights_only=True)


def assert_same(found, expected):
    for key in KEYS:
        torch.testing.assert_close(found[key], expected[key], rtol=0, atol=0)


def norm_model():
    """BatchNorm has buffers; one layer is shared under two names."""
    torch.manual_seed(0)
    layer = nn.Linear(64, 64)
    return nn.Sequential(
        nn.Flatten(), nn.BatchNorm1d(64), layer, nn.ReLU(), layer, nn.Linear(64, 10)
    )


MODELS = {"plain": lambda: None, "buffers and shared weights": norm_model}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("precision", ["32-true", "bf16-true"])
@pytest.mark.parametrize("decay", [0.3, 0.99])
def test_it_has_the_bits_of_the_pass_after_the_step(
    model, precision, decay, task, fit, separate, moved
):
    """Checkpoints of both are equal, and no parameter of the optimizer was left to the callback."""
    found = []
    for is_separate in (False, True):
        separate(is_separate)
        keep = Checkpoint()
        fit(task(MODELS[model]()), EMA(decay=decay), keep, precision=precision)
        found.append(content(keep))
    assert moved == [(True, 0)] * 10
    assert found[0].keys() == found[1].keys()
    assert_same(*found)


@pytest.mark.parametrize("ways", [(False, True), (True, False), (False, False)], ids=str)
def test_a_checkpoint_of_one_way_resumes_in_the_other(ways, task, fit, separate):
    """Two epochs and two more, each in its way, have the bits of four."""
    whole, keep = task(), Checkpoint()
    fit(whole, EMA(decay=0.9), keep, max_epochs=4)
    first, half = task(), Checkpoint()
    separate(ways[0])
    fit(first, EMA(decay=0.9), half, max_epochs=2)
    again, resumed = task(), Checkpoint()
    separate(ways[1])
    fit(again, EMA(decay=0.9), resumed, max_epochs=4, ckpt_path=half.last_model_path)
    assert_same(content(resumed), content(keep))


@pytest.mark.parametrize("every", [1, 2])
def test_parameters_without_a_gradient_are_left_to_the_callback(every, task, fit, separate, moved):
    """As when a part is frozen, and when a callback leaves steps out."""
    found = []
    for is_separate in (False, True):
        separate(is_separate)
        keep, module = Checkpoint(), task()
        module.architecture.layers[1].bias.requires_grad_(False)
        callback = LeaveOut(every)
        fit(module, EMA(decay=0.9), callback, keep)
        assert callback.count == 10 // (every + 1)
        found.append(content(keep))
    assert_same(*found)
    total = len(list(task().parameters()))
    assert {left for _, left in moved} == {1, total}


def test_accumulated_batches_are_one_update(task, fit, separate):
    """The average is moved by steps, not by batches."""
    found = []
    for is_separate in (False, True):
        separate(is_separate)
        keep, callback = Checkpoint(), EMA(decay=0.9)
        fit(task(), callback, keep, accumulate_grad_batches=2)
        assert callback.num_updates == 6
        found.append(content(keep))
    assert_same(*found)


def test_it_says_which_way_once(task, fit, caplog):
    """At the start of a training; at debug level why not."""
    with caplog.at_level(logging.DEBUG, "dlplug.callbacks"):
        fit(task(), EMA(decay=0.9))
        fit(task(), EMA(decay=0.9, every_n_steps=2))
        module = task()
        module.make_optimizer = functools.partial(torch.optim.AdamW, lr=0.01)
        fit(module, EMA(decay=0.9))
        module = task()
        module.make_optimizer = functools.partial(FusedAdamW, lr=0.01, foreach=True)
        fit(module, EMA(decay=0.9))
        module = task()
        module.make_optimizer = functools.partial(FusedAdamW, lr=0.01, ema_decay=0.9)
        fit(module, EMA(decay=0.9))
    own = "ema: a pass of its own after each update: "
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "ema: 4 averages are moved by the optimizer's step"),
        ("DEBUG", own + "it has fewer updates than steps"),
        ("DEBUG", own + "AdamW cannot"),
        ("DEBUG", own + "its options ask for PyTorch's code"),
        ("DEBUG", own + "it has averages of its own"),
    ]


def test_nothing_is_held_after_the_training(task, fit):
    """The optimizer forgets the averages with the callback."""
    module, callback = task(), EMA(decay=0.9)
    trainer = fit(module, callback)
    assert callback.average is None and callback._fused is None
    assert trainer.optimizers[0]._given is None
    assert trainer.optimizers[0].take_back_averages() == {}
    copy.deepcopy(trainer.optimizers[0])
