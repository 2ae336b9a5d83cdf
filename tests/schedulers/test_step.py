"""step: the learning rate of every epoch."""

import inspect

import pytest
import torch

from dlplug.errors import InvalidValueError
from dlplug.schedulers.step import step


def sgd():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


def test_it_falls_every_few_epochs():
    """Three epochs each at 1, 0.5 and 0.25."""
    optimizer = sgd()
    scheduler = step(optimizer, step_size=3, gamma=0.5)
    rates = []
    for _ in range(9):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == [1.0] * 3 + [0.5] * 3 + [0.25] * 3


def test_it_counts_epochs():
    """It has no parameter total_steps, by which a task would step it after every batch."""
    assert "total_steps" not in inspect.signature(step).parameters


@pytest.mark.parametrize("arguments", [{"step_size": 0}, {"gamma": 0.0}])
def test_values_out_of_range_are_refused(arguments):
    """The message holds the value."""
    name, value = next(iter(arguments.items()))
    with pytest.raises(InvalidValueError, match=f"{name} = {value}"):
        step(sgd(), **arguments)
