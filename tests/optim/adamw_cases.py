"""Optimizers, parameters and gradients for the tests of FusedAdamW."""

import pytest
import torch
from torch import nn

from dlplug import ops
from dlplug.optim import FusedAdamW

SHAPES = [(7, 5), (5,), (), (0, 3), (2, 3, 4, 4)]
BOTH = [FusedAdamW, torch.optim.AdamW]
needs_kernels = pytest.mark.skipif(not ops.isas(), reason="no compiled CPU kernels here")


def make(optimizer, dtype=torch.float32, shapes=SHAPES, **options):
    """Parameters and an optimizer over them; equal for all optimizers."""
    numbers = torch.Generator().manual_seed(0)
    drawn = [torch.randn(shape, generator=numbers, dtype=torch.float64) for shape in shapes]
    params = [nn.Parameter(tensor.to(dtype)) for tensor in drawn]
    return params, optimizer(params, **{"lr": 0.05, **options})


def mixed(optimizer, **options):
    """Parameters for the kernel, and one with gaps for PyTorch's loop."""
    params = make(optimizer)[0]
    params.append(nn.Parameter(torch.linspace(-1, 1, 10).view(5, 2)[:, 0]))
    return params, optimizer(params, **{"lr": 0.05, **options})


def give_gradients(seed, *lists):
    """New gradients, equal in each list of parameters."""
    for params in lists:
        numbers = torch.Generator().manual_seed(seed)
        for param in params:
            drawn = torch.randn(param.shape, generator=numbers, dtype=torch.float64)
            param.grad = drawn.to(param.dtype)


def take_steps(*pairs, seeds=range(5)):
    for seed in seeds:
        give_gradients(seed, *(params for params, _ in pairs))
        for _, optimizer in pairs:
            optimizer.step()


def assert_equal_params(params, others, eps_factor=8):
    """Both round at each of a few steps, and differently: the tolerance is that many ulps of 1."""
    for a, b in zip(params, others, strict=True):
        tolerance = eps_factor * torch.finfo(a.dtype).eps
        torch.testing.assert_close(a.detach(), b.detach(), rtol=tolerance, atol=tolerance)
