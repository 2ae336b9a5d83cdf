"""FusedAdamW with ``fused=True`` unscales gradients for a GradScaler."""

import pytest
import torch
from torch import nn

from dlplug import ops
from dlplug.optim import FusedAdamW
from tests.optim.adamw_cases import (
    assert_equal_params,
    give_gradients,
    make,
    mixed,
    needs_kernels,
)


@pytest.mark.parametrize(
    ("options", "dtype"),
    [({}, torch.float32), ({"fused": True}, torch.float32), ({"fused": True}, torch.float16)],
    ids=str,
)
def test_grad_scaler(options, dtype):
    """Gradients are unscaled, steps with infinite ones skipped, and counted as PyTorch counts."""
    pairs = [make(FusedAdamW, dtype, **options), make(torch.optim.AdamW, dtype, fused=True)]
    scalers = [torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3) for _ in pairs]
    for seed in range(8):
        give_gradients(seed, *(params for params, _ in pairs))
        for (params, optimizer), scaler in zip(pairs, scalers, strict=True):
            scaler.scale(torch.ones(()))
            for param in params:
                param.grad.mul_(scaler.get_scale()).div_(64)
            if seed in (0, 4):
                params[0].grad[0] = torch.inf
            scaler.step(optimizer)
            scaler.update()
    assert scalers[0].get_scale() == scalers[1].get_scale() == 2.0**10  # halved, doubled, twice
    assert_equal_params(pairs[0][0], pairs[1][0], 32)
    for param, other in zip(pairs[0][0], pairs[1][0], strict=True):
        assert pairs[0][1].state[param]["step"] == pairs[1][1].state[other]["step"] == 6
        torch.testing.assert_close(param.grad, other.grad)


def test_grad_scaler_with_gradients_that_are_copied():
    """Gradients that lie otherwise than their parameters are unscaled in place, too."""
    params, optimizer = make(FusedAdamW, shapes=[(3, 4)], fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(torch.ones(()))
    params[0].grad = torch.full((4, 3), 16.0).T
    scaler.step(optimizer)
    assert torch.equal(params[0].grad, torch.full((3, 4), 2.0))


@pytest.mark.parametrize("is_unscaled", [False, True])
@pytest.mark.parametrize(
    ("kind", "backend"),
    [(make, "reference"), (mixed, "auto"), (mixed, "reference")],
    ids=["reference", "gaps", "gaps, reference"],
)
def test_grad_scaler_where_the_loop_steps(kind, backend, is_unscaled):
    """PyTorch's loop knows no scaler; the step unscales and skips for it, all groups alike."""
    ours, theirs = kind(FusedAdamW, fused=True), kind(torch.optim.AdamW)
    scalers = [torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3) for _ in range(2)]
    for seed in range(8):
        give_gradients(seed, ours[0], theirs[0])
        for (params, optimizer), scaler in zip((ours, theirs), scalers, strict=True):
            scaler.scale(torch.ones(()))
            for param in params:
                param.grad.mul_(scaler.get_scale()).div_(64)
            if seed in (0, 4):
                params[0].grad[0] = torch.inf
            if is_unscaled:
                scaler.unscale_(optimizer)
            with ops.use_backend(backend):
                scaler.step(optimizer)
            scaler.update()
    assert scalers[0].get_scale() == scalers[1].get_scale()
    assert_equal_params(ours[0], theirs[0], 32)
    for param, other in zip(ours[0], theirs[0], strict=True):
        assert ours[1].state[param]["step"] == theirs[1].state[other]["step"] == 6
        torch.testing.assert_close(param.grad, other.grad)


def test_grad_scaler_with_a_scale_beyond_float16():
    """The usual scale of 65,536 is an infinity in float16, but the quotient is not 0."""
    params, optimizer = make(FusedAdamW, torch.float16, shapes=[(4,)], fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    scaler.scale(torch.ones(()))
    params[0].grad = torch.full((4,), 1024.0, dtype=torch.float16)
    with ops.use_backend("reference"):
        scaler.step(optimizer)
    assert torch.equal(params[0].grad, torch.full((4,), 2.0**-6, dtype=torch.float16))


def test_grad_scaler_with_a_parameter_that_is_listed_twice():
    """It steps twice, but its gradient is divided once."""
    param = nn.Parameter(torch.ones(5))
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optimizer = FusedAdamW([param, param], fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(torch.ones(()))
    param.grad = torch.full((5,), 16.0)
    scaler.step(optimizer)
    assert torch.equal(param.grad, torch.full((5,), 2.0))


def scaled_step(params, grads, backend="auto", groups=None, **options):
    """One step with gradients that were scaled by 8."""
    for param, grad in zip(params, grads, strict=True):
        param.grad = grad
    optimizer = FusedAdamW(groups or params, fused=True, **options)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(torch.ones(()))
    with ops.use_backend(backend):
        scaler.step(optimizer)
    return optimizer


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["one tensor", "views", "overlapping views", "two groups"])
def test_grad_scaler_with_gradients_that_share_memory(kind, dtype, backend):
    """Tied gradients are divided once, and each of their parameters takes the quotient."""
    params = [nn.Parameter(torch.ones(4, dtype=dtype)) for _ in range(3)]
    memory = torch.full((6,), 16.0, dtype=dtype)
    grads = {
        "views": [memory[:4], memory[:4].view(2, 2).view(4)],
        "overlapping views": [memory[:4], memory[2:]],
    }.get(kind, [memory[:4]] * 2)
    grads.append(torch.full((4,), 24.0, dtype=dtype))  # of its own memory
    groups = [{"params": [param]} for param in params] if kind == "two groups" else None
    optimizer = scaled_step(params, grads, backend, groups)
    for param, quotient in zip(params, (2.0, 2.0, 3.0), strict=True):
        assert torch.equal(param.grad, torch.full((4,), quotient, dtype=dtype))
        mean = optimizer.state[param]["exp_avg"]
        torch.testing.assert_close(mean, torch.full((4,), quotient * 0.1, dtype=dtype))


def test_grad_scaler_skips_a_step_with_tied_infinite_gradients():
    """Nothing is divided and nothing changes."""
    params = [nn.Parameter(torch.ones(4)) for _ in range(2)]
    grad = torch.tensor([16.0, 16.0, torch.inf, 16.0])
    scaled_step(params, [grad, grad])
    assert grad.tolist() == [16.0, 16.0, torch.inf, 16.0]
    assert all(torch.equal(param.detach(), torch.ones(4)) for param in params)


@needs_kernels
def test_grad_scaler_with_a_compiled_step(compiler):
    """The traced op knows no scale: gradients are divided before it."""
    params = [nn.Parameter(torch.ones(4)) for _ in range(2)]
    for param in params:
        param.grad = torch.full((4,), 16.0)
    optimizer = FusedAdamW(params, fused=True)
    optimizer.step = torch.compile(optimizer.step, backend="eager")
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(torch.ones(()))
    scaler.step(optimizer)
    for param in params:
        assert torch.equal(param.grad, torch.full((4,), 2.0))
        torch.testing.assert_close(optimizer.state[param]["exp_avg"], torch.full((4,), 0.2))
