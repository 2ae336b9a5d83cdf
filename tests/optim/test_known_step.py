"""A step of the very tensors of the last one: what it gives, and when it is not taken."""

import pytest
import torch
from torch.autograd import forward_ad

from dlplug import ops
from dlplug.errors import InvalidValueError, OpError
from dlplug.optim import FusedAdamW
from tests.optim.adamw_cases import give_gradients, make, needs_kernels, take_steps
from tests.optim.known_tensors import DISTURBANCES, everything, released_view, watch

pytestmark = needs_kernels


@pytest.fixture
def taken(monkeypatch):
    """Of each step, whether it was one of known tensors."""
    return watch(FusedAdamW, monkeypatch)


def two_groups(**options):
    """Parameters in two groups with other options; the first group has none without gradients."""
    params, _ = make(FusedAdamW)
    groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.1, "weight_decay": 0.3}]
    return params, FusedAdamW(groups, lr=0.05, **options)


@pytest.mark.parametrize("max_grad_norm", [None, 0.1, 1e9, float("inf")])
@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_it_has_the_bits_of_any_step(max_grad_norm, amsgrad, ema_decay, taken, monkeypatch):
    """Of two groups, clipped together or not; the first step makes the states."""
    options = dict(max_grad_norm=max_grad_norm, amsgrad=amsgrad, ema_decay=ema_decay)
    known, other = two_groups(**options), two_groups(**options)
    take_steps(known)
    assert taken == [False, True, True, True, True]
    monkeypatch.setattr(FusedAdamW, "_step_as_known", lambda own: False)
    take_steps(other)
    for a, b in zip(everything(*known), everything(*other), strict=True):
        assert torch.equal(a, b)


DTYPES = [torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("dtypes", [DTYPES[:1], DTYPES], ids=["one dtype", "mixed"])
def test_it_has_the_bits_of_any_step_up_the_gradient(maximize, dtypes, taken, monkeypatch):
    """And down, for parameters of one dtype or several, clipped together."""

    def pair():
        params = [p for dtype in dtypes for p in make(FusedAdamW, dtype)[0]]
        options = dict(lr=0.05, maximize=maximize, max_grad_norm=0.5, ema_decay=0.9)
        return params, FusedAdamW(params, **options)

    known, other = pair(), pair()
    take_steps(known)
    assert taken == [False, True, True, True, True]
    monkeypatch.setattr(FusedAdamW, "_step_as_known", lambda own: False)
    take_steps(other)
    for a, b in zip(everything(*known), everything(*other), strict=True):
        assert torch.equal(a, b)


def test_gradients_that_are_not_numbers_spoil_all(taken):
    """As by PyTorch's clip_grad_norm_, whose factor is then NaN."""
    params, optimizer = two_groups(max_grad_norm=1.0)
    take_steps((params, optimizer), seeds=range(2))
    params[0].grad[0, 0] = float("nan")
    optimizer.step()
    assert taken[-1]
    assert all([param.isnan().all() for param in params])


def test_a_parameter_without_a_gradient(taken):
    """It is left alone, step by step, but its average goes on towards it."""
    params, optimizer = make(FusedAdamW, ema_decay=0.5)
    take_steps((params, optimizer), seeds=range(2))
    state, kept = optimizer.state[params[0]], params[0].detach().clone()
    for seed in range(2, 5):
        give_gradients(seed, params)
        params[0].grad = None
        expected = state["ema"].lerp(kept, 0.5)
        optimizer.step()
        torch.testing.assert_close(state["ema"], expected)
    assert taken[2:] == [False, True, True]
    assert state["step"] == 2
    assert torch.equal(params[0], kept)


def test_a_group_without_gradients(taken):
    """A frozen one does not keep the others from it, and is left alone."""
    params, optimizer = two_groups()
    frozen = optimizer.param_groups[0]["params"]
    for param in frozen:
        param.requires_grad_(False)
    kept = [param.detach().clone() for param in frozen]
    for seed in range(3):
        give_gradients(seed, params)
        for param in frozen:
            param.grad = None
        optimizer.step()
    assert taken == [False, True, True]
    for param, before in zip(frozen, kept, strict=True):
        assert torch.equal(param, before)


def test_a_step_without_any_gradient(taken):
    """Nothing is known of it, and nothing is done."""
    params, optimizer = two_groups()
    take_steps((params, optimizer), seeds=range(2))
    kept = [tensor.clone() for tensor in everything(params, optimizer)]
    optimizer.zero_grad()
    optimizer.step()
    assert taken[-1] is False
    for now, before in zip(everything(params, optimizer), kept, strict=True):
        assert torch.equal(now, before)


def test_autograd_notices_it(taken):
    """What a graph has saved of a parameter is not there any more."""
    params, optimizer = make(FusedAdamW)
    take_steps((params, optimizer), seeds=range(2))
    loss = (params[0] * params[0]).sum()
    optimizer.step()
    assert taken[-1]
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


OWN_DISTURBANCES = DISTURBANCES | {
    "an option": lambda params, optimizer: optimizer.param_groups[0].update(foreach=True),
}


@pytest.mark.parametrize("disturbance", OWN_DISTURBANCES)
def test_what_has_to_be_looked_at_is_not_known(disturbance, taken):
    """Nothing is changed before that is noticed."""
    params, optimizer = make(FusedAdamW)
    take_steps((params, optimizer), seeds=range(2))
    assert taken == [False, True]
    before = [tensor.clone() for tensor in everything(params, optimizer)]
    optimizer.param_groups[0]["params"][1].grad = torch.ones(5)
    OWN_DISTURBANCES[disturbance](params, optimizer)
    assert not optimizer._step_as_known()
    if disturbance != "a state":
        for a, b in zip(before, everything(params, optimizer), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("max_grad_norm", [None, 1.0])
def test_a_gradient_whose_memory_was_released_is_an_error(max_grad_norm, taken):
    """After a step that was known; no parameter has changed."""
    params, optimizer = make(FusedAdamW, max_grad_norm=max_grad_norm)
    take_steps((params, optimizer), seeds=range(2))
    before = [param.detach().clone() for param in params]
    params[0].grad = released_view(params[0].grad)
    with pytest.raises(OpError, match="was released"):
        optimizer.step()
    assert taken == [False, True, False]
    for param, kept in zip(params, before, strict=True):
        assert torch.equal(param, kept)


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
@pytest.mark.parametrize("num_steps", [0, 2])
def test_a_limit_that_is_none_is_refused_by_every_step(limit, num_steps, taken):
    """Set after the optimizer was made: by the first step as by one that would be known."""
    params, optimizer = two_groups(max_grad_norm=1.0)
    take_steps((params, optimizer), seeds=range(num_steps))
    before = [tensor.clone() for tensor in everything(params, optimizer)]
    optimizer.max_grad_norm = limit
    give_gradients(9, params)
    with pytest.raises(InvalidValueError, match=f"max_grad_norm = {limit} is out of range"):
        optimizer.step()
    for now, kept in zip(everything(params, optimizer), before, strict=True):
        assert torch.equal(now, kept)
    optimizer.max_grad_norm = None
    optimizer.step()


def test_other_modes_are_not_known(taken):
    """The reference backend, and forward-mode differentiation, which the kernel has not."""
    pair = make(FusedAdamW)
    take_steps(pair, seeds=range(2))
    with ops.use_backend("reference"):
        assert not pair[1]._step_as_known()
    with forward_ad.dual_level():
        assert not pair[1]._step_as_known()
    with ops.use_backend("cpu"):
        assert pair[1]._step_as_known()
