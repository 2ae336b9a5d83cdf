"""Trainings that end before their end, and what is compared after they went on."""

import os
import signal

import lightning
import torch

from dlplug.loggers.metrics_file import read_metrics
from dlplug.run import verbs
from dlplug.run.folder import Run

LONGER = ("trainer.max_epochs", "3")
FOUR_EPOCHS = ("trainer.max_epochs", "4")
EMA = ("callbacks", "[{name: ema, decay: 0.9}]")
IMAGES = ("data.transforms", "[{name: random_shift, max_shift: 1}]")


class Interrupt(lightning.Callback):
    """End the process at one step, as `how` says."""

    def __init__(self, step, how):
        self.step = step
        self.how = how

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.step:
            self.how()


class InterruptValidation(lightning.Callback):
    """Be told to end while the metric is measured for the second time."""

    def __init__(self):
        self.count = 0

    def on_validation_start(self, trainer, pl_module):
        self.count += not trainer.sanity_checking
        if self.count == 2:
            terminate()


class FailAtEnd(lightning.Callback):
    """After the last checkpoint, before the other callbacks."""

    def on_train_end(self, trainer, pl_module):
        fail()


class FailInTest(lightning.Callback):
    def on_test_start(self, trainer, pl_module):
        fail()


class RuinWeights(lightning.Callback):
    """Make every weight much larger after each batch."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        for weight in pl_module.parameters():
            weight.data.mul_(3)


def fail():
    raise RuntimeError("the machine is on fire")


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def fit(experiment, root, callback=None, **arguments):
    if callback is not None:
        build = experiment.build_callbacks
        experiment.build_callbacks = lambda: [callback, *build()]
    return verbs.fit(experiment, root=root, progress=False, **arguments)


def state(path):
    return torch.load(path, weights_only=True)


def rows(path):
    """What was logged, but for when."""
    found = read_metrics(Run(path).metrics)
    return [{name: value for name, value in row.items() if name != "time"} for row in found]


def assert_same(first, second):
    """Weights, optimizer, scheduler and random states, bit by bit."""
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "ema"):
        torch.testing.assert_close(first.get(key), second.get(key), rtol=0, atol=0)
    states = [content["callbacks"]["RandomState"]["ranks"][0] for content in (first, second)]
    assert torch.equal(states[0]["torch"], states[1]["torch"])
    assert states[0]["python"] == states[1]["python"]
    assert first["epoch"] == second["epoch"] and first["global_step"] == second["global_step"]
