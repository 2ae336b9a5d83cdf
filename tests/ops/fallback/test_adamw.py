"""Tests of dlplug/ops/fallback/adamw.py."""

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from dlplug.ops.fallback.adamw import adamw_, move_averages

OPTIONS = dict(lr=3e-2, beta1=0.8, beta2=0.95, eps=1e-3, weight_decay=0.1)


def algorithm_2(theta, gradients, *, lr, beta1, beta2, eps, weight_decay, amsgrad, maximize):
    """The paper's loop in NumPy, with alpha = 1 and eta_t = lr as PyTorch reads it."""
    m = v = largest = np.zeros_like(theta)
    for t, g in enumerate(gradients, start=1):
        g = -g if maximize else g
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        largest = np.maximum(largest, v)
        m_hat = m / (1 - beta1**t)
        v_hat = (largest if amsgrad else v) / (1 - beta2**t)
        theta = theta - lr * (m_hat / (np.sqrt(v_hat) + eps) + weight_decay * theta)
    return theta, m, v


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("maximize", [False, True])
def test_it_is_the_papers_algorithm(amsgrad, maximize):
    """In float64 twenty steps agree with the paper written in NumPy."""
    numbers = np.random.default_rng(0)
    theta, gradients = numbers.normal(size=(3, 4)), numbers.normal(size=(20, 3, 4))
    flags = dict(amsgrad=amsgrad, maximize=maximize)
    expected = algorithm_2(theta, gradients, **OPTIONS, **flags)
    param = torch.tensor(theta)
    m, v, u = (torch.zeros_like(param) for _ in range(3))
    step = torch.tensor(0.0)
    for gradient in gradients:
        grads, maxima = [torch.tensor(gradient)], [u] if amsgrad else []
        adamw_([param], grads, [m], [v], maxima, [step], *OPTIONS.values(), maximize)
    for found, wanted in zip((param, m, v), expected, strict=True):
        torch.testing.assert_close(found, torch.tensor(wanted), rtol=1e-12, atol=1e-14)
    assert step.item() == 20


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_it_rounds_as_pytorch_does(dtype):
    """In every dtype the operations are those of PyTorch's own loop, to the last bit."""
    torch.manual_seed(0)
    params = [torch.nn.Parameter(torch.randn(n).to(dtype)) for n in (1, 9, 40)]
    own = [param.detach().clone() for param in params]
    states = [[torch.zeros_like(param) for param in own] for _ in range(3)]
    steps = [torch.tensor(0.0) for _ in own]
    names = dict(lr=0.03, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1)
    peer = torch.optim.AdamW(params, amsgrad=True, **names)
    for _ in range(10):
        for param in params:
            param.grad = torch.randn_like(param)
        grads = [param.grad.clone() for param in params]
        peer.step()
        adamw_(own, grads, *states, steps, *OPTIONS.values())
    for param, mine in zip(params, own, strict=True):
        assert torch.equal(param.detach(), mine)


def test_averages_take_a_weight_from_any_device():
    """A scaler's ``found_inf`` stays on the device of the loss; here both are imagined."""
    with FakeTensorMode():
        average, param = torch.zeros(3), torch.ones(3)
        move_averages([average], [param], torch.empty((), device="cuda"))
        assert average.device.type == "cpu"


def test_averages_are_none_or_one_of_each():
    """Not those that happen to be there."""
    params = [torch.ones(2), torch.ones(2)]
    move_averages([], params, 0.5)
    average = torch.zeros(2)
    with pytest.raises(ValueError, match="longer"):
        move_averages([average], params, 0.5)
    averages = [torch.zeros(2), torch.zeros(2)]
    move_averages(averages, params, 0.25)
    assert all(average.eq(0.25).all() for average in averages)
