"""A step without PyTorch's wrapper is seen by all that the wrapper serves."""

import pytest
import torch
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.profiler import ProfilerActivity, profile

from dlplug.optim import CompactAdamW, FusedAdamW
from tests.optim.adamw_cases import give_gradients, make


class Own(FusedAdamW):
    """A subclass with a step that calls the one it has inherited."""

    def step(self, closure=None):
        return super().step(closure)


@pytest.fixture(params=[FusedAdamW, CompactAdamW, Own])
def pair(request):
    """Parameters with gradients, and their optimizer."""
    params, optimizer = make(request.param)
    give_gradients(0, params)
    return params, optimizer


def test_nobody_watches(pair, monkeypatch):
    """Then the profiler's range, which takes most of the wrapper's time, is not opened."""
    if type(pair[1]) is Own:
        pytest.skip("PyTorch wraps the step of a subclass")
    monkeypatch.setattr(torch.autograd.profiler, "record_function", None)
    pair[1].step()
    assert pair[1].state[pair[0][0]]["step"] == 1


def test_hooks_are_called_once(pair):
    """Those of the optimizer and those of all optimizers, before and after, with its arguments."""
    params, optimizer = pair
    seen = []

    def noting(name):
        return lambda own, args, kwargs: seen.append((name, own is optimizer, len(args), kwargs))

    handles = [
        optimizer.register_step_pre_hook(noting("before")),
        optimizer.register_step_post_hook(noting("after")),
        register_optimizer_step_pre_hook(noting("before all")),
        register_optimizer_step_post_hook(noting("after all")),
    ]
    optimizer.step(closure=None)
    for handle in handles:
        handle.remove()
    optimizer.step()
    expected = ["before all", "before", "after", "after all"]
    assert seen == [(name, True, 1, {"closure": None}) for name in expected]
    assert optimizer.state[params[0]]["step"] == 2


@pytest.mark.parametrize("kind", ["before", "after", "before all", "after all"])
def test_one_hook_alone_is_called(pair, kind):
    """Of whatever kind, and no more once it is removed."""
    optimizer, seen = pair[1], []
    register = {
        "before": optimizer.register_step_pre_hook,
        "after": optimizer.register_step_post_hook,
        "before all": register_optimizer_step_pre_hook,
        "after all": register_optimizer_step_post_hook,
    }[kind]
    handle = register(lambda own, args, kwargs: seen.append(own))
    optimizer.step()
    handle.remove()
    optimizer.step()
    assert seen == [optimizer]


def test_a_hook_can_change_the_arguments(pair):
    """As PyTorch lets it: here it puts a closure in."""
    optimizer = pair[1]
    optimizer.register_step_pre_hook(lambda own, args, kwargs: (args, {"closure": lambda: 7.0}))
    assert optimizer.step() == 7.0


def test_the_profiler_names_the_step(pair):
    """By the optimizer's class, once."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        pair[1].step()
    name = f"Optimizer.step#{type(pair[1]).__name__}.step"
    assert [event.count for event in found.key_averages() if event.key == name] == [1]


def test_a_schedule_notes_the_step(pair):
    """A scheduler wraps the method of the instance, to warn when it comes before the step."""
    optimizer = pair[1]
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    optimizer.step()
    scheduler.step()
    assert optimizer._opt_called
    assert optimizer.param_groups[0]["lr"] == 0.025


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("is_watched", [True, False])
def test_gradients_are_let_go(pair, set_to_none, is_watched):
    """All of them; the profiler sees it by the optimizer's class."""
    params, optimizer = pair
    if is_watched:
        with profile(activities=[ProfilerActivity.CPU]) as found:
            optimizer.zero_grad(set_to_none)
        name = f"Optimizer.zero_grad#{type(optimizer).__name__}.zero_grad"
        assert [event.count for event in found.key_averages() if event.key == name] == [1]
    else:
        optimizer.zero_grad(set_to_none)
    for param in params:
        assert param.grad is None if set_to_none else not param.grad.any()
