"""warmup_cosine: the learning rate at every step."""

import math

import pytest
import torch

from dlplug.errors import InvalidValueError
from dlplug.schedulers.warmup_cosine import warmup_cosine


def optimizer(lr=2.0):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def rates(count, **arguments):
    """The learning rate that each step uses."""
    sgd = optimizer()
    scheduler = warmup_cosine(sgd, **arguments)
    seen = []
    for _ in range(count):
        seen.append(sgd.param_groups[0]["lr"])
        sgd.step()
        scheduler.step()
    return seen


def test_it_rises_linearly_and_falls_along_a_cosine():
    """Four steps up, then half a cosine down to the last step."""
    expected = [0.5, 1.0, 1.5, 2.0] + [1 + math.cos(math.pi * k / 6) for k in range(6)]
    assert rates(10, total_steps=10, warmup=4) == pytest.approx(expected)


def test_a_share_of_the_steps_is_a_warmup_too():
    """0.4 of 10 steps are 4 steps."""
    assert rates(10, total_steps=10, warmup=0.4) == rates(10, total_steps=10, warmup=4)


def test_it_ends_at_the_smallest_ratio_and_stays_there():
    """After the last step the rate is min_ratio times the first one."""
    seen = rates(14, total_steps=10, warmup=0, min_ratio=0.1)
    assert seen[0] == pytest.approx(2.0)
    assert seen[10:] == pytest.approx([0.2] * 4)


def test_each_group_keeps_its_own_rate():
    """The ratio is common, the rates are not."""
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    sgd = torch.optim.SGD([{"params": [parameters[0]], "lr": 1.0}, {"params": [parameters[1]]}], 3)
    warmup_cosine(sgd, total_steps=10, warmup=4)
    assert [group["lr"] for group in sgd.param_groups] == [0.25, 0.75]


def test_its_state_is_plain_data():
    """It can be saved and loaded without running code."""
    state = warmup_cosine(optimizer(), total_steps=10).state_dict()
    assert not any(callable(value) for value in state.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"warmup": -0.1}, "warmup = -0.1"),
        ({"warmup": 2.5}, "warmup = 2.5"),
        ({"warmup": 11}, "warmup of 11 steps is longer than the 10 steps"),
        ({"min_ratio": 1.5}, "min_ratio = 1.5"),
    ],
)
def test_values_out_of_range_are_refused(arguments, message):
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match=message):
        warmup_cosine(optimizer(), total_steps=10, **arguments)
