"""CompactAdamW's step of the very tensors of the last one: its bits, and when it is not taken."""

import weakref

import pytest
import torch
from torch.autograd import forward_ad

from dlplug import ops
from dlplug.errors import DtypeError, InvalidValueError, OpError
from dlplug.ops.fallback.compact_adamw import STORAGES
from dlplug.optim import CompactAdamW
from tests.optim.adamw_cases import SHAPES, give_gradients, make, needs_kernels, take_steps
from tests.optim.known_tensors import DISTURBANCES, everything, released_view, watch

pytestmark = needs_kernels
BFLOAT16 = torch.bfloat16
each_storage = pytest.mark.parametrize("storage", STORAGES)


@pytest.fixture
def taken(monkeypatch):
    """Of each step, whether it was one of known tensors."""
    return watch(CompactAdamW, monkeypatch)


def two_groups(storage, **options):
    """Parameters in two groups with other options, one of them float32 among bfloat16 ones."""
    params, _ = make(CompactAdamW, BFLOAT16, [*SHAPES, (700,)])
    params[1] = torch.nn.Parameter(params[1].detach().float())
    groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.1, "weight_decay": 0.3}]
    return params, CompactAdamW(groups, lr=0.05, storage=storage, **options)


@each_storage
@pytest.mark.parametrize("max_grad_norm", [None, 0.1, 1e9])
@pytest.mark.parametrize(("ema_decay", "maximize"), [(None, False), (0.9, False), (None, True)])
def test_it_has_the_bits_of_any_step(
    storage, max_grad_norm, ema_decay, maximize, taken, monkeypatch
):
    """Of two groups, clipped together or not, with the same random numbers."""
    options = dict(storage=storage, max_grad_norm=max_grad_norm, ema_decay=ema_decay)
    options["maximize"] = maximize
    known, other = two_groups(**options), two_groups(**options)
    take_steps(known)
    assert taken == [False, True, True, True, True]
    monkeypatch.setattr(CompactAdamW, "_step_as_known", lambda own: False)
    take_steps(other)
    for a, b in zip(everything(*known), everything(*other), strict=True):
        assert torch.equal(a, b)
    for ours, theirs in zip(known[1].param_groups, other[1].param_groups, strict=True):
        assert ours.get("seed") == theirs.get("seed")
    assert ("seed" in known[1].param_groups[0]) == (storage == "stochastic")


def test_each_step_draws_other_random_bits(taken):
    """Where a gradient is the same, the roundings are not."""
    params, optimizer = two_groups("stochastic")
    seeds = []
    for _ in range(3):
        give_gradients(0, params)
        optimizer.step()
        seeds.append(optimizer.param_groups[0]["seed"])
    assert taken == [False, True, True]
    assert len(set(seeds)) == 3


def test_a_parameter_without_a_gradient(taken):
    """It is left alone, step by step, but its average goes on towards it."""
    params, optimizer = two_groups("kahan", ema_decay=0.5)
    take_steps((params, optimizer), seeds=range(2))
    state, kept = optimizer.state[params[0]], params[0].detach().clone()
    for seed in range(2, 5):
        give_gradients(seed, params)
        params[0].grad = None
        expected = state["ema"].lerp(kept.float(), 0.5)
        optimizer.step()
        torch.testing.assert_close(state["ema"], expected)
    assert taken[2:] == [False, True, True]
    assert state["step"] == 2
    assert torch.equal(params[0], kept)


def test_a_group_without_gradients(taken):
    """A frozen one does not keep the others from it, and is left alone; nor does it draw bits."""
    params, optimizer = two_groups("stochastic")
    frozen = params[:2]
    kept, seed = [param.detach().clone() for param in frozen], optimizer.param_groups[0]["seed"]
    for number in range(3):
        give_gradients(number, params)
        for param in frozen:
            param.grad = None
        optimizer.step()
    assert taken == [False, True, True]
    assert optimizer.param_groups[0]["seed"] == seed
    for param, before in zip(frozen, kept, strict=True):
        assert torch.equal(param, before)


def test_autograd_notices_it(taken):
    """What a graph has saved of a parameter is not there any more."""
    params, optimizer = two_groups("kahan")
    take_steps((params, optimizer), seeds=range(2))
    loss = (params[0] * params[0]).sum()
    optimizer.step()
    assert taken[-1]
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def swapped(state):
    """m and v under each other's names."""
    state["exp_avg"], state["exp_avg_sq"] = state["exp_avg_sq"], state["exp_avg"]


OWN_DISTURBANCES = DISTURBANCES | {
    "a storage": lambda params, optimizer: optimizer.param_groups[0].update(storage="kahan"),
    "a seed": lambda params, optimizer: optimizer.param_groups[0].update(seed=3),
    "states swapped": lambda params, optimizer: swapped(optimizer.state[params[0]]),
    "a transposed parameter": lambda params, optimizer: setattr(
        params[0], "data", params[0].data.T.contiguous().T
    ),
}


@pytest.mark.parametrize("disturbance", OWN_DISTURBANCES)
def test_what_has_to_be_looked_at_is_not_known(disturbance, taken):
    """Nothing is changed before that is noticed."""
    params, optimizer = two_groups("float32_states")
    take_steps((params, optimizer), seeds=range(2))
    assert taken == [False, True]
    OWN_DISTURBANCES[disturbance](params, optimizer)
    before = [tensor.clone() for tensor in everything(params, optimizer)]
    assert not optimizer._step_as_known()
    for a, b in zip(before, everything(params, optimizer), strict=True):
        assert torch.equal(a, b)


def test_what_is_refused_is_refused_after_a_known_step(taken):
    """States of another dtype than the parameter's, and a seed that nothing would draw by."""
    params, optimizer = two_groups("float32_states")
    take_steps((params, optimizer), seeds=range(2))
    params[0].data = params[0].data.double()
    params[0].grad = torch.ones_like(params[0])
    with pytest.raises(DtypeError, match=r"params\[0\] is torch.float64"):
        optimizer.step()
    params, optimizer = two_groups("float32_states")
    take_steps((params, optimizer), seeds=range(2))
    optimizer.param_groups[0]["seed"] = 3
    with pytest.raises(InvalidValueError, match="draws no numbers"):
        optimizer.step()


@pytest.mark.parametrize("max_grad_norm", [None, 1.0])
def test_a_gradient_whose_memory_was_released_is_an_error(max_grad_norm, taken):
    """After a step that was known; no parameter has changed."""
    params, optimizer = two_groups("kahan", max_grad_norm=max_grad_norm)
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
    params, optimizer = two_groups("kahan", max_grad_norm=1.0)
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
    params, optimizer = two_groups("8bit")
    take_steps((params, optimizer), seeds=range(2))
    with ops.use_backend("reference"):
        assert not optimizer._step_as_known()
    with forward_ad.dual_level():
        assert not optimizer._step_as_known()
    with ops.use_backend("cpu"):
        assert optimizer._step_as_known()


def test_a_loaded_state_is_looked_at_once(taken):
    """Its tensors are others; the step after that knows them."""
    params, optimizer = two_groups("8bit", max_grad_norm=0.5)
    take_steps((params, optimizer), seeds=range(2))
    optimizer.load_state_dict(optimizer.state_dict())
    take_steps((params, optimizer), seeds=range(2, 4))
    assert taken == [False, True, False, True]


def test_known_rows_hold_nothing(taken):
    """A gradient that is let go is freed, and what lies there then is not written."""
    params, optimizer = two_groups("8bit")
    take_steps((params, optimizer), seeds=range(2))
    held = [weakref.ref(param.grad) for param in params]
    optimizer.zero_grad()
    assert [ref() for ref in held] == [None] * len(held)
