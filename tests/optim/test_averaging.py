"""Averages of the parameters that an optimizer keeps in its state or is given."""

import copy
import io
import pickle
import weakref

import pytest
import torch
from torch import nn
from torch.distributed.tensor import distribute_tensor

from dlplug import ops
from dlplug.ops.fallback.adamw import move_averages
from dlplug.optim import FusedAdamW
from tests.optim.adamw_cases import (
    assert_equal_params,
    give_gradients,
    make,
    mixed,
    needs_kernels,
    take_steps,
)

DECAY = 0.9
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
WAYS = [{}, {"foreach": True}, {"fused": False}, {"fused": True}, {"amsgrad": True}]


def averages_of(optimizer):
    params = [param for group in optimizer.param_groups for param in group["params"]]
    return [optimizer.state[param]["ema"] for param in params]


def follow(params, optimizer, seeds=range(5)):
    """Steps, and averages of the parameters by a pass of their own after each."""
    averages = [p.detach().to(torch.promote_types(p.dtype, torch.float32)) for p in params]
    averages = [average.clone() for average in averages]
    for seed in seeds:
        take_steps((params, optimizer), seeds=[seed])
        move_averages(averages, params, 1 - DECAY)
    return averages


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", WAYS, ids=str)
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_the_average_is_that_of_a_pass_after_the_step(dtype, options, backend):
    """Whatever code updates; parameters and other states are as without it."""
    plain, ours = (
        make(FusedAdamW, dtype, **options),
        make(FusedAdamW, dtype, ema_decay=DECAY, **options),
    )
    with ops.use_backend(backend):
        expected = follow(*plain)
        take_steps(ours)
    wide = torch.float64 if dtype is torch.float64 else torch.float32
    assert {average.dtype for average in averages_of(ours[1])} == {wide}
    if dtype is torch.float32 and ops.current_isa() != "scalar":
        torch.testing.assert_close(averages_of(ours[1]), expected, rtol=0, atol=0)
    assert_equal_params(ours[0], plain[0])
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(averages_of(ours[1]), expected, rtol=4 * eps, atol=4 * eps)


@needs_kernels
def test_parameters_that_the_kernel_refuses_are_averaged_too():
    """One with gaps, beside others that the kernel takes."""
    plain, ours = mixed(FusedAdamW), mixed(FusedAdamW, ema_decay=DECAY)
    expected = follow(*plain)
    take_steps(ours)
    torch.testing.assert_close(averages_of(ours[1]), expected, rtol=1e-6, atol=1e-6)


def test_a_parameter_without_a_gradient_is_still_averaged():
    """Its average comes nearer to what it is, as in a pass over all of them."""
    params, optimizer = make(FusedAdamW, ema_decay=DECAY)
    take_steps((params, optimizer), seeds=range(3))
    expected = [average.clone() for average in averages_of(optimizer)]
    give_gradients(7, params)
    params[0].grad = None
    optimizer.step()
    move_averages(expected, params, 1 - DECAY)
    torch.testing.assert_close(averages_of(optimizer), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("options", [{"fused": True}, {"fused": True, "foreach": False}], ids=str)
@pytest.mark.parametrize("kind", [make, mixed])
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_a_step_that_a_scaler_skips_moves_no_average(options, kind, backend):
    """Neither own nor given ones; the next step does."""
    params, optimizer = kind(FusedAdamW, ema_decay=DECAY, **options)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(torch.ones(()))
    with ops.use_backend(backend):
        give_gradients(0, params)
        scaler.step(optimizer)
        scaler.update()
        before = [average.clone() for average in averages_of(optimizer)]
        for is_finite in (False, True):
            give_gradients(1, params)
            if not is_finite:
                params[0].grad[0] = torch.inf
            scaler.step(optimizer)
            scaler.update()
            same = [torch.equal(a, b) for a, b in zip(averages_of(optimizer), before, strict=True)]
            assert all(same) != is_finite
    optimizer.ema_decay = None
    given = {id(param): torch.zeros_like(param) for param in params}
    optimizer.average_in_next_step(given, 0.5)
    give_gradients(1, params)
    params[0].grad[0] = torch.inf
    scaler.step(optimizer)
    scaler.update()
    assert optimizer.take_back_averages().keys() == given.keys()
    assert not any(average.any() for average in given.values())


@needs_kernels
def test_given_averages_are_moved_once(calls):
    """By the next step alone, which keeps none of them."""
    params, optimizer = make(FusedAdamW)
    take_steps((params, optimizer), seeds=[0])
    given = {id(param): torch.zeros_like(param) for param in params}
    optimizer.average_in_next_step(given, 0.25)
    take_steps((params, optimizer), seeds=[1])
    assert calls == ["kernel"] * 2 and optimizer.take_back_averages() == {}
    for param in params:
        assert torch.equal(given[id(param)], torch.zeros_like(param).lerp(param.detach(), 0.25))
        assert "ema" not in optimizer.state[param]
    before = [average.clone() for average in given.values()]
    take_steps((params, optimizer), seeds=[2])
    torch.testing.assert_close(list(given.values()), before, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_resumed_training_has_the_same_bits(dtype):
    """The average keeps its dtype in a checkpoint, beside narrower parameters too."""
    params, optimizer = make(FusedAdamW, dtype, ema_decay=DECAY)
    take_steps((params, optimizer))
    file = io.BytesIO()
    torch.save({"params": params, "optimizer": optimizer.state_dict()}, file)
    take_steps((params, optimizer), seeds=range(5, 10))
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed, other = make(FusedAdamW, dtype, ema_decay=DECAY)
    for param, value in zip(resumed, saved["params"], strict=True):
        param.data.copy_(value)
    other.load_state_dict(saved["optimizer"])
    take_steps((resumed, other), seeds=range(5, 10))
    assert_equal_params(resumed, params, 0)
    torch.testing.assert_close(averages_of(other), averages_of(optimizer), rtol=0, atol=0)


def test_states_of_optimizers_without_averages_load():
    """Averages begin with the weights then; the other way they are dropped, PyTorch keeps them."""
    plain, averaging = make(torch.optim.AdamW), make(FusedAdamW, ema_decay=DECAY)
    take_steps(plain, averaging)
    averaging[1].load_state_dict(plain[1].state_dict())
    assert not any("ema" in state for state in averaging[1].state.values())
    before = [param.detach().clone() for param in averaging[0]]
    take_steps(averaging, seeds=[6])
    move_averages(before, averaging[0], 1 - DECAY)
    torch.testing.assert_close(averages_of(averaging[1]), before, rtol=1e-6, atol=1e-6)
    without = make(FusedAdamW)
    without[1].load_state_dict(averaging[1].state_dict())
    assert not any("ema" in state for state in without[1].state.values())
    plain[1].load_state_dict(averaging[1].state_dict())
    take_steps(plain, without)
    assert_equal_params(plain[0], without[0], 2**24)  # both go on from other weights


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_copy_averages_by_itself(copied):
    """With its own averages and the same decay."""
    params, optimizer = make(FusedAdamW, ema_decay=DECAY)
    take_steps((params, optimizer))
    twin = copied(optimizer)
    before = [average.clone() for average in averages_of(optimizer)]
    theirs = [param for group in twin.param_groups for param in group["params"]]
    take_steps((theirs, twin), seeds=[9])
    torch.testing.assert_close(averages_of(optimizer), before, rtol=0, atol=0)
    assert twin.ema_decay == DECAY
    assert not torch.equal(averages_of(twin)[0], before[0])


@needs_kernels
@pytest.mark.parametrize("amsgrad", [False, True])
def test_a_compiled_step_averages(compiler, amsgrad):
    """In a full graph, with the bits of the eager step."""
    eager = make(FusedAdamW, ema_decay=DECAY, amsgrad=amsgrad)
    traced = make(FusedAdamW, ema_decay=DECAY, amsgrad=amsgrad)
    take_steps(eager, traced, seeds=[0])
    step = torch.compile(traced[1].step, backend="eager", fullgraph=True)
    for seed in (1, 2):
        give_gradients(seed, eager[0], traced[0])
        eager[1].step()
        step()
    torch.testing.assert_close(averages_of(traced[1]), averages_of(eager[1]), rtol=0, atol=0)
    assert_equal_params(traced[0], eager[0], 0)


@pytest.mark.parametrize("options", [{}, {"foreach": True}], ids=str)
def test_averages_of_several_groups_begin_in_a_compiled_step(compiler, options):
    """Their states stay beside them, which the second step needs."""
    pairs = []
    for _ in range(2):
        params = make(FusedAdamW, shapes=[(5,), (3, 2), (4,)])[0]
        groups = [{"params": [p], "lr": 0.01 * i} for i, p in enumerate(params, 1)]
        pairs.append((params, FusedAdamW(groups, ema_decay=DECAY, **options)))
    (params, eager), (traced, optimizer) = pairs
    step = torch.compile(optimizer.step, backend="aot_eager", fullgraph=True)
    for seed in range(3):
        give_gradients(seed, params, traced)
        eager.step()
        step()
    assert [optimizer.state[param].keys() for param in traced] == [
        eager.state[param].keys() for param in params
    ]
    torch.testing.assert_close(averages_of(optimizer), averages_of(eager), rtol=1e-6, atol=1e-6)
    assert_equal_params(traced, params)


def test_shards_are_averaged_as_the_whole(mesh, calls):
    """Of distributed tensors the kernel takes the local parts, averages too."""
    whole = make(FusedAdamW, ema_decay=DECAY)
    params = [nn.Parameter(distribute_tensor(param.detach().clone(), mesh)) for param in whole[0]]
    sharded = FusedAdamW(params, lr=0.05, ema_decay=DECAY)
    for seed in range(3):
        take_steps(whole, seeds=[seed])
        for param, other in zip(params, whole[0], strict=True):
            param.grad = distribute_tensor(other.grad, mesh)
        sharded.step()
    if ops.isas():
        assert set(calls) == {"kernel"}
    for average, expected in zip(averages_of(sharded), averages_of(whole[1]), strict=True):
        assert torch.equal(average.full_tensor(), expected)


def test_given_averages_are_not_kept():
    """After the step that moved them nothing of the optimizer's holds their memory for long."""
    params, optimizer = make(FusedAdamW)
    given = {id(param): torch.zeros_like(param) for param in params}
    optimizer.average_in_next_step(given, 0.25)
    take_steps((params, optimizer), seeds=[1])
    held = weakref.ref(given[id(params[0])])
    optimizer.take_back_averages()
    del given
    take_steps((params, optimizer), seeds=[2])
    assert held() is None


@pytest.mark.parametrize("decay", [1.0, -0.1, 2])
def test_a_decay_out_of_range_is_refused(decay):
    """In the words of PyTorch's optimizers."""
    with pytest.raises(ValueError, match=f"Invalid ema_decay: {decay}"):
        make(FusedAdamW, ema_decay=decay)


def test_what_the_kernel_was_not_given_is_given_back():
    """A parameter without an average leaves those of its group to a pass of their own."""
    params = [torch.nn.Parameter(torch.ones(4, dtype=d)) for d in (torch.float32, torch.float64)]
    for param in params:
        param.grad = torch.ones_like(param)
    optimizer = FusedAdamW(params)
    average = torch.zeros(4)
    optimizer.average_in_next_step({id(params[0]): average}, 0.5)
    optimizer.step()
    left = optimizer.take_back_averages()
    assert (id(params[0]) in left) == torch.equal(average, torch.zeros(4))


def test_a_copy_supports_the_scaler_as_its_original_does():
    """It says so in an attribute."""
    params = [torch.nn.Parameter(torch.ones(4))]
    for options in ({}, {"fused": True}):
        optimizer = FusedAdamW(params, **options)
        found = getattr(copy.deepcopy(optimizer), "_step_supports_amp_scaling", None)
        assert found == getattr(optimizer, "_step_supports_amp_scaling", None)
