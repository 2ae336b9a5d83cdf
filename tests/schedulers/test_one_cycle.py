"""one_cycle: the learning rate at every step."""

import inspect
import math

import pytest
import torch

from dlplug.config import load
from dlplug.errors import InvalidValueError
from dlplug.optim import FusedAdamW
from dlplug.schedulers.one_cycle import one_cycle
from tests.schedulers.curves import advance, rates, resumed_rates, sgd

ARGUMENTS = {"total_steps": 11, "pct_start": 5 / 11, "div_factor": 20, "final_div_factor": 10}


def momentum_sgd():
    return sgd(momentum=0.9)


def cosine(start, end, x):
    return end + (start - end) * (1 + math.cos(math.pi * x)) / 2


EXPECTED = [cosine(0.1, 2, k / 4) for k in range(4)] + [cosine(2, 0.01, k / 6) for k in range(7)]


def test_it_equals_the_formula():
    """Up from 0.1 to 2 in four steps, down to 0.01 in six, and then it stays."""
    expected = [*EXPECTED, 0.01, 0.01]
    assert rates(one_cycle, 13, momentum_sgd, **ARGUMENTS) == pytest.approx(expected)
    assert resumed_rates(one_cycle, 13, 6, momentum_sgd, **ARGUMENTS) == pytest.approx(expected)


def test_its_arguments_are_named_as_in_torch():
    """And mean the same there."""
    arguments = dict(ARGUMENTS, max_lr=2.0)
    names = inspect.signature(torch.optim.lr_scheduler.OneCycleLR).parameters
    assert ARGUMENTS.keys() <= names.keys()
    theirs = rates(torch.optim.lr_scheduler.OneCycleLR, 11, momentum_sgd, **arguments)
    assert rates(one_cycle, 11, momentum_sgd, **ARGUMENTS) == pytest.approx(theirs)


def test_old_names_are_renewed(tmp_path):
    """Of configs from before they were torch's."""
    path = tmp_path / "old.yaml"
    old = "{name: one_cycle, warmup: 0.25, start_factor: 20, end_factor: 10, anneal: linear, "
    old += "min_momentum: 0.8}"
    path.write_text(f"data: digits\narchitecture: mlp\nscheduler: {old}\n")
    scheduler = load([path], [("scheduler.end_factor", "30")]).resolved["scheduler"]
    expected = {"pct_start": 0.25, "div_factor": 20.0, "final_div_factor": 30.0}
    expected |= {"anneal_strategy": "linear", "base_momentum": 0.8}
    assert {name: scheduler[name] for name in expected} == expected
    assert not {"warmup", "start_factor", "end_factor", "anneal", "min_momentum"} & scheduler.keys()


def test_a_resumed_training_may_be_longer():
    """torch's own would raise after the first total_steps; the next step's rate is still saved."""
    arguments = ARGUMENTS | {"total_steps": 22}
    found = resumed_rates(one_cycle, 22, 5, momentum_sgd, before=ARGUMENTS, **arguments)
    assert found[6:] == pytest.approx(rates(one_cycle, 22, momentum_sgd, **arguments)[6:])


def test_adams_first_beta_moves_against_the_rate():
    """0.95 at the start, 0.85 at the highest rate; each group has its own highest rate."""
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [{"params": [parameters[0]], "lr": 1.0}, {"params": [parameters[1]]}]
    optimizer = FusedAdamW(groups, lr=3.0)
    scheduler = one_cycle(optimizer, **ARGUMENTS)
    assert optimizer.param_groups[0]["betas"][0] == pytest.approx(0.95)
    for parameter in parameters:
        parameter.grad = torch.ones(1)
    advance(optimizer, scheduler, 4)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1, 3])
    assert optimizer.param_groups[0]["betas"][0] == pytest.approx(0.85)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pct_start": 1.0}, "pct_start = 1.0"),
        ({"div_factor": 0}, "div_factor = 0"),
        ({"anneal_strategy": "step"}, "anneal_strategy = 'step'"),
        ({"base_momentum": 0.99}, "base_momentum = 0.99"),
    ],
)
def test_values_out_of_range_are_refused(arguments, message):
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match=message):
        one_cycle(momentum_sgd(), total_steps=10, **arguments)


def test_an_optimizer_without_momentum_is_refused():
    """The message names the switch."""
    optimizer = torch.optim.Rprop([torch.nn.Parameter(torch.zeros(1))])
    with pytest.raises(InvalidValueError, match="cycle_momentum to false"):
        one_cycle(optimizer, total_steps=10)
    one_cycle(optimizer, total_steps=10, cycle_momentum=False)


@pytest.mark.parametrize(("pct_start", "total_steps"), [(0.1, 10), (0.25, 4), (0.5, 2)])
def test_a_rise_of_one_step(pct_start, total_steps):
    """It starts at the start; torch's own divides by zero."""
    arguments = {"total_steps": total_steps, "pct_start": pct_start}
    found = rates(one_cycle, total_steps, momentum_sgd, **arguments)
    assert found[0] == pytest.approx(2 / 25) and found[-1] == pytest.approx(2 / 25 / 1e4)
    assert found[1:] == sorted(found[1:], reverse=True)
