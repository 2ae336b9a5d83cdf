"""Residual addition with dropout in plain PyTorch, for the norms that begin with it."""

import torch
from torch import Tensor

from dlplug.ops.fallback import philox
from dlplug.ops.fallback.layer_norm import statistics_dtype


def add(x: Tensor, residual: Tensor, dropout_p: float, seed: Tensor | None) -> Tensor:
    """dropout(x) + residual, rounded once to the promoted dtype, contiguous; differentiable."""
    dtype = torch.promote_types(x.dtype, residual.dtype)
    compute = statistics_dtype(torch.empty((), dtype=dtype))
    h = dropout(x.to(compute), dropout_p, seed) + residual.to(compute)
    return h.to(dtype).contiguous()


def dropout(x: Tensor, p: float, seed: Tensor | None) -> Tensor:
    """Elements are 0 with probability ``p``, else x / (1 - p); the mask is a function of seed."""
    if p == 0:
        return x
    scale = 1 / (1 - p) if p < 1 else 0.0
    width = x.shape[-1]
    rows = x.numel() // width if width else 0
    mask = philox.keep_mask(seed, rows, width, p).view(x.shape)
    return torch.where(mask, x * scale, 0)


def gradient(grad_h: Tensor, x_dtype: torch.dtype, p: float, seed: Tensor | None) -> Tensor:
    """Gradient of x from that of h; differentiable."""
    return dropout(grad_h, p, seed).to(x_dtype)
