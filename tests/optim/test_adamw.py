"""Tests of dlplug/optim/adamw.py: the same optimizer as ``torch.optim.AdamW``."""

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from dlplug.optim import FusedAdamW
from tests.optim.adamw_cases import BOTH, assert_equal_params, make, needs_kernels, take_steps

OPTIONS = [
    {},
    {"amsgrad": True},
    {"maximize": True},
    {"weight_decay": 0.0},
    {"weight_decay": 0.3, "lr": 0.2},
    {"betas": (0.0, 0.0)},
    {"betas": (0.3, 0.5), "eps": 0.1, "amsgrad": True, "maximize": True},
    {"lr": 0.0},
    {"lr": torch.tensor(0.05)},
    {"lr": torch.tensor([0.05], dtype=torch.float64)},
    {"betas": (torch.tensor(0.9), torch.tensor(0.99))},
    {"foreach": True},
    {"foreach": False},
    {"fused": True},
    {"fused": False},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_steps_as_torch_does(options, dtype):
    """Every option leads to the parameters and states of ``torch.optim.AdamW``."""
    ours, theirs = make(FusedAdamW, dtype, **options), make(torch.optim.AdamW, dtype, **options)
    take_steps(ours, theirs)
    # PyTorch's loop takes the numbers of tensors in their precision, the kernels in double.
    tolerance = 2**-20 if dtype is torch.float32 or "tensor" in str(options) else 2**-47
    for param, other in zip(ours[0], theirs[0], strict=True):
        torch.testing.assert_close(param, other, rtol=tolerance, atol=tolerance)
        mine, expected = ours[1].state[param], theirs[1].state[other]
        assert list(mine) == list(expected)
        for name in mine:
            torch.testing.assert_close(mine[name], expected[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_it_steps_as_torchs_fused_kernel_does(dtype):
    """16-bit parameters keep 16-bit states, and are computed in float32."""
    ours, theirs = make(FusedAdamW, dtype), make(torch.optim.AdamW, dtype, fused=True)
    take_steps(ours, theirs)
    assert_equal_params(ours[0], theirs[0])


def test_it_is_torchs_optimizer():
    """Code that asks for AdamW or Adam gets it, and the defaults are PyTorch's."""
    _, ours = make(FusedAdamW)
    _, theirs = make(torch.optim.AdamW)
    assert isinstance(ours, torch.optim.AdamW)
    assert ours.defaults == theirs.defaults
    assert not getattr(ours, "_step_supports_amp_scaling", False)


@needs_kernels
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "kernel"),
        ({"fused": True}, "kernel"),
        ({"amsgrad": True, "maximize": True}, "kernel"),
        ({"lr": torch.tensor(0.1)}, "kernel"),
        ({"foreach": True}, (True, None)),
        ({"foreach": False}, (False, None)),
        ({"fused": False}, (None, False)),
        ({"differentiable": True}, (None, None)),
    ],
    ids=str,
)
def test_no_option_is_ignored(options, expected, calls):
    """Options that name an implementation get it; all others the kernel."""
    params, optimizer = make(FusedAdamW, **options)
    for param in params:
        param.requires_grad_(False)  # a differentiable step takes no leaves that require grad
    take_steps((params, optimizer), seeds=[0])
    assert calls == [expected]


def test_capturable_is_pytorchs():
    """PyTorch's code demands an accelerator, and says so."""
    with pytest.raises(AssertionError, match="If capturable=True, params and state_steps must be"):
        take_steps(make(FusedAdamW, capturable=True))


def test_differentiable_lets_gradients_through():
    """Autograd differentiates through the step, as through PyTorch's."""
    results = []
    for optimizer in BOTH:
        weight = torch.tensor([1.0, -2.0], requires_grad=True)
        param = weight.clone()
        stepper = optimizer([param], lr=0.1, differentiable=True)
        param.grad = torch.tensor([0.3, 0.7])
        stepper.step()
        param.square().sum().backward()
        results.append(weight.grad)
    assert torch.equal(*results)
    assert results[0].abs().min() > 0


@pytest.mark.parametrize(
    "options",
    [
        {"lr": -1.0},
        {"eps": -1.0},
        {"betas": (1.0, 0.9)},
        {"betas": (0.9, -0.1)},
        {"weight_decay": -1.0},
        {"lr": torch.tensor([0.1, 0.2])},
        {"lr": torch.tensor(0.1), "foreach": True},
        {"fused": True, "foreach": True},
        {"fused": True, "differentiable": True},
    ],
    ids=str,
)
def test_wrong_options_are_refused_in_pytorchs_words(options):
    """The same error as from ``torch.optim.AdamW``."""
    with pytest.raises((ValueError, RuntimeError)) as expected:
        make(torch.optim.AdamW, **options)
    with pytest.raises(type(expected.value)) as found:
        make(FusedAdamW, **options)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("options", [{}, {"foreach": True}, {"max_grad_norm": 0.1}], ids=str)
@pytest.mark.parametrize("after_a_step", [False, True])
@pytest.mark.parametrize("num_groups", [1, 2])
def test_sparse_gradients_are_refused(num_groups, after_a_step, options):
    """In PyTorch's words, at the first step and later, before any group has changed."""
    params = make(FusedAdamW, shapes=[(3,), (3,)])[0]
    groups = [{"params": params}] if num_groups == 1 else [{"params": [p]} for p in params]
    optimizer = FusedAdamW(groups, **options)
    if after_a_step:
        take_steps((params, optimizer))
    params[0].grad = torch.ones(3)
    params[1].grad = torch.ones(3).to_sparse()
    before = params[0].detach().clone()
    with pytest.raises(RuntimeError, match=r"^Adam does not support sparse gradients"):
        optimizer.step()
    assert torch.equal(params[0].detach(), before) and params[0].grad.eq(1).all()


def test_schedulers():
    """Schedules of the step size, and of the betas, take effect at each step."""
    results = []
    for optimizer in BOTH:
        params, stepper = make(optimizer)
        schedulers = [
            torch.optim.lr_scheduler.OneCycleLR(stepper, max_lr=0.3, total_steps=12),
            torch.optim.lr_scheduler.ExponentialLR(stepper, 0.9),
        ]
        for seed in range(10):
            take_steps((params, stepper), seeds=[seed])
            for scheduler in schedulers:
                scheduler.step()
        results.append(params)
    assert_equal_params(*results, 64)


def test_closures():
    """A closure is called once, with gradients enabled, and its loss is returned."""
    params, optimizer = make(FusedAdamW, shapes=[(3,)])

    def closure():
        assert torch.is_grad_enabled()
        optimizer.zero_grad()
        loss = params[0].square().sum()
        loss.backward()
        return loss

    with torch.no_grad():
        losses = [optimizer.step(closure).item() for _ in range(20)]
    assert losses[-1] < losses[0]


def test_the_gradient_mode_is_restored():
    """Also when a step fails."""
    params, optimizer = make(FusedAdamW, shapes=[(3,)])
    take_steps((params, optimizer))
    assert torch.is_grad_enabled()
    params[0].grad = torch.ones(3).to_sparse()
    with pytest.raises(RuntimeError):
        optimizer.step()
    assert torch.is_grad_enabled()


def test_hooks_and_the_profiler():
    """Hooks of the optimizer and of all optimizers run once; the profiler names the step."""
    pair = make(FusedAdamW)
    make(torch.optim.AdamW)  # whose class has hooks of its own
    seen = []
    handles = [
        pair[1].register_step_pre_hook(lambda *_: seen.append("pre")),
        pair[1].register_step_post_hook(lambda *_: seen.append("post")),
        register_optimizer_step_pre_hook(lambda *_: seen.append("all")),
    ]
    try:
        with torch.profiler.profile() as profile:
            take_steps(pair, seeds=[0])
    finally:
        for handle in handles:
            handle.remove()
    assert seen == ["all", "pre", "post"]
    assert "Optimizer.step#FusedAdamW.step" in {event.key for event in profile.key_averages()}
