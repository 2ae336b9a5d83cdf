"""Hooks that others register for the load of a state see and change what PyTorch's show them."""

import copy

import pytest
import torch
from torch import nn

from dlplug.errors import CheckpointError
from dlplug.ops.fallback.compact_adamw import STORAGES
from dlplug.optim import CompactAdamW, FusedAdamW

OPTIMIZERS = [
    lambda params: FusedAdamW(params, ema_decay=0.9),
    lambda params: CompactAdamW(params, storage="8bit", ema_decay=0.9),
    lambda params: CompactAdamW(params, storage="float32_states"),
]
each_optimizer = pytest.mark.parametrize("make", OPTIMIZERS, ids=["fused", "8bit", "float32"])


def stepped(make):
    """A bfloat16 parameter, whose states PyTorch's loading would give its dtype."""
    param = nn.Parameter(torch.linspace(-1, 1, 5).bfloat16())
    optimizer = make([param])
    param.grad = torch.ones_like(param)
    optimizer.step()
    return param, optimizer


@each_optimizer
def test_a_hook_before_may_return_another_state(make):
    """What it returns is loaded, with every dtype that the class keeps; hooks stay as they were."""
    saved, optimizer = stepped(make)
    param, other = stepped(make)
    other.state[param]["exp_avg"].zero_()
    other.register_load_state_dict_pre_hook(lambda _, given: given["optimizer"])
    for _ in range(2):
        other.load_state_dict({"optimizer": optimizer.state_dict()})
        torch.testing.assert_close(
            dict(other.state[param]), dict(optimizer.state[saved]), rtol=0, atol=0
        )


@each_optimizer
def test_a_hook_before_may_rewrite_the_states(make):
    """In a copy of its own: nothing is read from what the caller gave."""
    saved, optimizer = stepped(make)
    param, other = stepped(make)

    def clear(_, given):
        given = copy.deepcopy(given)
        for name, tensor in given["state"][0].items():
            if name != "step":
                tensor.zero_()
        return given

    other.register_load_state_dict_pre_hook(clear)
    other.load_state_dict(optimizer.state_dict())
    states = {name: t for name, t in other.state[param].items() if name != "step"}
    assert not any(tensor.any() for tensor in states.values())
    assert {n: t.dtype for n, t in states.items()}.items() <= {
        n: t.dtype for n, t in optimizer.state[saved].items()
    }.items()


@each_optimizer
def test_a_hook_after_has_the_last_word(make):
    """It changes the states that training goes on with."""
    _, optimizer = stepped(make)
    param, other = stepped(make)
    other.register_load_state_dict_post_hook(
        lambda loaded: [tensor.fill_(3) for tensor in loaded.state[param].values()]
    )
    other.load_state_dict(optimizer.state_dict())
    assert all(tensor.eq(3).all() for tensor in other.state[param].values())


def test_a_state_that_is_refused_leaves_no_trace():
    """Neither in the states nor among the hooks."""
    _, optimizer = stepped(OPTIMIZERS[2])
    param, other = stepped(OPTIMIZERS[1])
    before = copy.deepcopy(dict(other.state[param]))
    with pytest.raises(CheckpointError, match="has storage 'float32_states'"):
        other.load_state_dict(optimizer.state_dict())
    torch.testing.assert_close(dict(other.state[param]), before, rtol=0, atol=0)
    other.load_state_dict(other.state_dict())
    torch.testing.assert_close(dict(other.state[param]), before, rtol=0, atol=0)


@each_optimizer
def test_a_load_that_fails_changes_nothing(make):
    """Even after all was loaded: states, averages and groups are those before."""
    _, optimizer = stepped(make)
    optimizer.param_groups[0]["lr"] = 0.5
    param, other = stepped(make)
    states, groups = copy.deepcopy(dict(other.state[param])), copy.deepcopy(other.param_groups)

    def fail(loaded):
        assert loaded.param_groups[0]["lr"] == 0.5
        raise ZeroDivisionError

    with other.register_load_state_dict_post_hook(fail), pytest.raises(ZeroDivisionError):
        other.load_state_dict(optimizer.state_dict())
    torch.testing.assert_close(dict(other.state[param]), states, rtol=0, atol=0)
    assert other.param_groups[0]["params"][0] is param
    assert other.param_groups[0]["lr"] == groups[0]["lr"] == 1e-3


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("fault", ["shape", "one element", "missing"])
def test_a_plain_state_that_does_not_fit_changes_nothing(storage, fault):
    """Its second parameter has another shape, also one that would be spread over all elements."""
    size = {"shape": 6, "one element": 1, "missing": 5}[fault]
    own, other = (
        [nn.Parameter(torch.ones(n).to(dtype)) for n in sizes]
        for sizes, dtype in (((4, 5), torch.bfloat16), ((4, size), torch.float32))
    )
    optimizer, plain = CompactAdamW(own, storage=storage), torch.optim.AdamW(other)
    for param in (*own, *other):
        param.grad = torch.ones_like(param)
    optimizer.step()
    plain.step()
    given = plain.state_dict()
    if fault == "missing":
        del given["state"][1]["exp_avg_sq"]
    states = copy.deepcopy([dict(optimizer.state[param]) for param in own])
    words = "has no exp_avg_sq for" if fault == "missing" else rf"has shape \({size},\) of exp_avg"
    with pytest.raises(CheckpointError, match=words):
        optimizer.load_state_dict(given)
    for param, state in zip(own, states, strict=True):
        torch.testing.assert_close(dict(optimizer.state[param]), state, rtol=0, atol=0)
    assert optimizer.param_groups[0]["storage"] == storage
    optimizer.step()
