"""The factor of clipping by norm is PyTorch's, to the bit."""

import math

import pytest
import torch

from dlplug.ops._clipping import clip_factor


@pytest.mark.parametrize("norm", [0.0, 1e-9, 0.4999, 0.5, 0.5001, 3.0, 1e30, math.inf])
def test_it_is_that_of_clip_grad_norm(norm):
    """Of norms below the limit, which it leaves alone, and above."""
    param = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    param.grad = torch.ones(1, dtype=torch.float64)
    torch.nn.utils.clip_grads_with_norm_([param], 0.5, torch.tensor(norm, dtype=torch.float64))
    assert clip_factor(norm, 0.5) == param.grad.item()
    assert (clip_factor(norm, 0.5) < 1) == (norm >= 0.5)


def test_a_norm_that_is_no_number_gives_none():
    """So that a step of such gradients shows it, as PyTorch's does."""
    assert math.isnan(clip_factor(math.nan, 0.5))
