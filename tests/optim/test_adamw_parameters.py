"""FusedAdamW with parameters and gradients of all kinds."""

import pytest
import torch
from torch import nn

from dlplug.optim import FusedAdamW
from tests.optim.adamw_cases import (
    BOTH,
    assert_equal_params,
    give_gradients,
    make,
    needs_kernels,
    take_steps,
)


def test_parameters_without_gradients_are_left_alone():
    """Neither changed nor given a state; no gradient at all is no step."""
    params, optimizer = make(FusedAdamW)
    optimizer.step()
    assert not optimizer.state
    give_gradients(0, params)
    params[1].grad = None
    before = params[1].detach().clone()
    optimizer.step()
    assert torch.equal(params[1].detach(), before)
    assert params[1] not in optimizer.state


@needs_kernels
def test_a_group_of_all_kinds(calls):
    """Each parameter goes where it can; the result is PyTorch's."""
    kinds = [torch.float32, torch.float64, torch.bfloat16, torch.complex64, torch.float16]
    pairs = []
    for optimizer in BOTH:
        parts = [make(optimizer, dtype, shapes=[(6,), (2, 2)])[0] for dtype in kinds]
        params = [param for part in parts for param in part]
        params.append(nn.Parameter(torch.linspace(-1, 1, 10)[::2]))  # gaps in memory
        pairs.append((params, optimizer(params, lr=0.05, eps=1e-2)))
    take_steps(*pairs)
    assert set(calls) == {"kernel", (None, None)}
    for a, b in zip(pairs[0][0], pairs[1][0], strict=True):
        eps = torch.finfo(a.dtype).eps
        torch.testing.assert_close(a.detach(), b.detach(), rtol=32 * eps, atol=32 * eps)


@needs_kernels
def test_float64_takes_pytorchs_fused_kernel(calls):
    """The fastest code there is for it on the CPU."""
    take_steps(make(FusedAdamW, torch.float64), seeds=[0, 1])
    assert calls == [(None, True), (None, True)]


@pytest.mark.parametrize("fused", [None, True])
@pytest.mark.parametrize("kind", ["transposed gradient", "gaps"])
def test_pytorchs_fused_kernel_is_not_given_what_it_misreads(fused, kind):
    """It takes memory in order whatever the strides; the step is right all the same."""
    results = []
    for optimizer in BOTH:
        weight = torch.linspace(-1, 1, 24, dtype=torch.float64).view(3, 8)
        param = nn.Parameter(weight[:, ::2] if kind == "gaps" else weight)
        param.grad = torch.linspace(0, 1, param.numel(), dtype=torch.float64).view(param.T.shape).T
        stepper = optimizer([param], **({"fused": fused} if optimizer is FusedAdamW else {}))
        stepper.step()
        results.append(param.detach())
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("to", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("grads", [torch.channels_last, torch.contiguous_format])
def test_memory_formats(to, grads):
    """States take a parameter's memory format; gradients may have another."""
    ours, theirs = (make(optimizer, shapes=[(2, 3, 4, 5)]) for optimizer in BOTH)
    for params, _ in (ours, theirs):
        params[0].data = params[0].data.to(memory_format=to)
    for seed in range(4):
        give_gradients(seed, ours[0], theirs[0])
        for params, optimizer in (ours, theirs):
            params[0].grad = params[0].grad.to(memory_format=grads)
            optimizer.step()
    assert_equal_params(ours[0], theirs[0])
    assert ours[1].state[ours[0][0]]["exp_avg"].stride() == ours[0][0].stride()


def test_a_parameter_that_is_listed_twice():
    """PyTorch warns, and steps it twice; so does this."""
    results = []
    for optimizer in BOTH:
        param = nn.Parameter(torch.ones(5))
        with pytest.warns(UserWarning, match="duplicate parameters"):
            stepper = optimizer([param, param], lr=0.1)
        take_steps(([param], stepper))
        results.append(param.detach())
        assert stepper.state[param]["step"] == 10
    torch.testing.assert_close(*results)


def test_named_parameters_and_groups():
    """Groups with options of their own, and names, as in PyTorch."""
    results = []
    for optimizer in BOTH:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
        stepper = optimizer(
            [
                {"params": model[0].named_parameters(), "lr": 0.3, "amsgrad": True},
                {"params": model[1].named_parameters(), "maximize": True, "foreach": True},
            ],
            lr=0.01,
            weight_decay=0.2,
        )
        take_steps((list(model.parameters()), stepper))
        added = nn.Parameter(torch.ones(3))
        stepper.add_param_group({"params": [("added", added)], "betas": (0.5, 0.6)})
        take_steps(([*model.parameters(), added], stepper))
        assert stepper.state_dict()["param_groups"][2]["param_names"] == ["added"]
        results.append([*model.parameters(), added])
    assert_equal_params(*results, 32)


def test_expanded_gradients_that_pytorch_s_code_takes(calls):
    """They are read, not written; autograd notices the step."""
    for optimizer in BOTH:
        param = nn.Parameter(torch.ones(4, dtype=torch.float64))
        param.grad = torch.ones((), dtype=torch.float64).expand(4)
        version = param._version
        optimizer([param], lr=0.1).step()
        assert param.lt(1).all() and param._version > version
