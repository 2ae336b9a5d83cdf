"""Optimizers and schedules are tried before a training."""

import pytest
import torch
from torch import nn

from dlplug.config.trial import try_optimizer
from dlplug.errors import InvalidValueError

BASE = "data: squares\narchitecture: tower\n"


@pytest.mark.parametrize(
    "text",
    [
        "optimizer: {name: sgd, lr: -1}",
        "optimizer: {name: adam, betas: [2, 0]}",
        "scheduler: {name: step, gamma: 0}",
        "scheduler: {name: warmup_cosine, min_ratio: 2}",
    ],
)
def test_a_bad_value_shows_when_the_task_is_built(experiment, text):
    """Not at the first step, when the run folder exists."""
    with pytest.raises(InvalidValueError):
        experiment(BASE + text).build_task()


def test_an_architecture_without_parameters_is_not_tried():
    """There is nothing to optimise yet."""
    for architecture in (nn.Flatten(), nn.LazyLinear(3)):
        try_optimizer(architecture, lambda parameters: pytest.fail("tried"))


def test_the_trial_leaves_the_weights_alone():
    """It only makes objects."""
    layer = nn.Linear(2, 2)
    before = layer.weight.clone()
    try_optimizer(layer, torch.optim.SGD, lambda optimizer, total_steps: None)
    assert torch.equal(layer.weight, before) and layer.weight.grad is None
