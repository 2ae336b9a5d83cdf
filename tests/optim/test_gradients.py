"""Tests of dlplug/optim/_gradients.py: clipping within the step of FusedAdamW."""

import pytest
import torch

from dlplug import ops
from dlplug.errors import InvalidValueError
from dlplug.optim import FusedAdamW
from tests.optim.adamw_cases import make, needs_kernels

DTYPES = [torch.float32, torch.bfloat16, torch.float64]


def step_both(ours, theirs, max_norm, scale=1.0):
    """The same gradients to both; PyTorch's are clipped before its step. Returns their norm."""
    numbers = torch.Generator().manual_seed(0)
    for param, other in zip(ours[0], theirs[0], strict=True):
        grad = torch.randn(param.shape, generator=numbers, dtype=torch.float64) * scale
        param.grad, other.grad = grad.to(param.dtype, copy=True), grad.to(other.dtype)
    norm = torch.nn.utils.clip_grad_norm_(theirs[0], max_norm)
    ours[1].step()
    theirs[1].step()
    return norm


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("max_norm", [0.5, 1e6])
def test_it_steps_as_after_clip_grad_norm(dtype, backend, max_norm):
    """Where the norm is above the limit, and where it is below; eps makes the size count."""
    options = {"eps": 1.0, "lr": 0.1}
    ours = make(FusedAdamW, dtype, max_grad_norm=max_norm, **options)
    # In bfloat16 the reference rounds after every operation, as PyTorch's loop does.
    theirs = make(torch.optim.AdamW, dtype, fused=backend == "auto", **options)
    with ops.use_backend(backend):
        for _ in range(3):
            assert (step_both(ours, theirs, max_norm) > max_norm) == (max_norm == 0.5)
    tolerance = 2**-20 if dtype is not torch.bfloat16 else 2**-7
    for param, other in zip(ours[0], theirs[0], strict=True):
        torch.testing.assert_close(param, other, rtol=tolerance, atol=tolerance)


@needs_kernels
def test_the_kernel_leaves_gradients_as_they_are():
    """PyTorch's own code, for what the kernel does not take, scales them in place."""
    narrow, wide = (
        make(FusedAdamW, dtype, max_grad_norm=0.5) for dtype in (torch.float32, torch.float64)
    )
    for params, optimizer in (narrow, wide):
        for param in params:
            param.grad = torch.ones_like(param)
        optimizer.step()
    assert all(param.grad.eq(1).all() for param in narrow[0])
    assert torch.nn.utils.get_total_norm([param.grad for param in wide[0]]) == pytest.approx(0.5)


@needs_kernels
def test_the_norm_is_that_of_all_groups():
    """And of gradients that the kernel takes and those that PyTorch takes, together."""
    params = [torch.nn.Parameter(torch.ones(3, dtype=d)) for d in (torch.float32, torch.float64)]
    options = {"lr": 0.1, "eps": 1.0, "weight_decay": 0.0}
    groups = [{"params": [param]} for param in params]
    optimizer = FusedAdamW(groups, max_grad_norm=1.0, **options)
    twins = [torch.nn.Parameter(param.detach().clone()) for param in params]
    theirs = torch.optim.AdamW([{"params": [twin]} for twin in twins], **options)
    step_both((params, optimizer), (twins, theirs), 1.0)
    for param, twin in zip(params, twins, strict=True):
        torch.testing.assert_close(param, twin, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtypes", [["float64"] * 2, ["complex64"] * 2, ["float32", "float64"]])
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_one_gradient_of_two_parameters_is_clipped_once(dtypes, backend):
    """In one group or in two, by the kernel or by PyTorch's code; the norm counts it twice."""
    kinds = [getattr(torch, dtype) for dtype in dtypes]
    for num_groups in (1, 2):
        params = [torch.nn.Parameter(torch.ones(8, dtype=kind)) for kind in kinds for _ in "ab"]
        groups = [params] if num_groups == 1 else [params[::2], params[1::2]]
        options = {"lr": 0.1, "eps": 1.0, "weight_decay": 0.0}
        optimizer = FusedAdamW([{"params": g} for g in groups], max_grad_norm=0.5, **options)
        twins = [param.detach().clone().requires_grad_() for param in params]
        theirs = torch.optim.AdamW(twins, **options)
        for i, twin in enumerate(twins):
            if i % 2 == 0:
                params[i].grad = params[i + 1].grad = torch.ones_like(twin)
            twin.grad = torch.ones_like(twin)
        torch.nn.utils.clip_grad_norm_(twins, 0.5)
        with ops.use_backend(backend):
            optimizer.step()
        theirs.step()
        for param, twin in zip(params, twins, strict=True):
            torch.testing.assert_close(param, twin, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_norm_that_is_not_finite_shows(value):
    """As with PyTorch: the weights of the bad gradient become NaN, and none is silently kept."""
    params, optimizer = make(FusedAdamW, max_grad_norm=1.0)
    for param in params:
        param.grad = torch.ones_like(param)
    params[0].grad.view(-1)[0] = value
    optimizer.step()
    assert params[0].view(-1)[0].isnan()


@pytest.mark.parametrize("found_inf", [0.0, 1.0])
def test_a_scaler_s_gradients_are_clipped_unscaled(found_inf):
    """What a GradScaler leaves to the step: divide by the scale, or leave the step out."""
    ours = make(FusedAdamW, fused=True, max_grad_norm=0.5, lr=0.1, eps=1.0)
    theirs = make(torch.optim.AdamW, lr=0.1, eps=1.0)
    before = [param.detach().clone() for param in ours[0]]
    ours[1].grad_scale, ours[1].found_inf = torch.tensor(8.0), torch.tensor(found_inf)
    for param, other in zip(ours[0], theirs[0], strict=True):
        param.grad, other.grad = torch.full_like(param, 8.0), torch.ones_like(other)
    torch.nn.utils.clip_grad_norm_(theirs[0], 0.5)
    ours[1].step()
    theirs[1].step()
    expected = before if found_inf else theirs[0]
    for param, other in zip(ours[0], expected, strict=True):
        torch.testing.assert_close(param.detach(), other.detach(), rtol=1e-5, atol=1e-6)


def test_a_limit_must_be_above_0():
    """As PyTorch's checks, in its words."""
    with pytest.raises(ValueError, match="Invalid max_grad_norm: 0"):
        make(FusedAdamW, max_grad_norm=0)


def test_a_differentiable_step_does_not_clip():
    """The derivative would be that of another step; gradients stay what they are."""
    words = r"max_grad_norm = 0\.5 and differentiable = True"
    with pytest.raises(InvalidValueError, match=words):
        make(FusedAdamW, max_grad_norm=0.5, differentiable=True)
    param = torch.ones(4, requires_grad=True).clone()
    optimizer = FusedAdamW([param], differentiable=True)
    optimizer.max_grad_norm = 0.5  # as a Trainer sets it
    param.grad = torch.ones(4)
    with pytest.raises(InvalidValueError, match=words):
        optimizer.step()
    assert param.grad.eq(1).all() and param.eq(1).all()


def test_complex_gradients_are_clipped():
    """Beside real ones, by PyTorch's own code."""
    starts = [torch.ones(3, dtype=torch.complex64), torch.ones(3)]
    both = []
    for kind in (FusedAdamW, torch.optim.AdamW):
        params = [torch.nn.Parameter(start.clone()) for start in starts]
        for param in params:
            param.grad = torch.full_like(param, 2)
        options = {"max_grad_norm": 0.1} if kind is FusedAdamW else {}
        optimizer = kind(params, lr=0.1, eps=1.0, **options)
        if kind is torch.optim.AdamW:
            torch.nn.utils.clip_grad_norm_(params, 0.1)
        optimizer.step()
        both.append(params)
    for ours, theirs in zip(*both, strict=True):
        torch.testing.assert_close(ours, theirs)
