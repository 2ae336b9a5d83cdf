"""Residual addition, with dropout, and RMSNorm of the sum, in plain PyTorch."""

import torch
from torch import Tensor

from dlplug.ops.fallback import residual as residual_addition
from dlplug.ops.fallback import rms_norm as norm


def add_rms_norm(
    x: Tensor,
    residual: Tensor,
    weight: Tensor | None = None,
    eps: float = 1e-6,
    dropout_p: float = 0.0,
    seed: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """h = dropout(x) + residual; returns ``rms_norm(h)`` and h; differentiable."""
    return add_rms_norm_forward(x, residual, weight, seed, eps, dropout_p)[:2]


def add_rms_norm_forward(
    x: Tensor,
    residual: Tensor,
    weight: Tensor | None,
    seed: Tensor | None,
    eps: float,
    dropout_p: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """``add_rms_norm`` and the statistics of h, ``(1, rows)``."""
    h = residual_addition.add(x, residual, dropout_p, seed)
    y, stats = norm.rms_norm_forward(h, weight, eps)
    return y, h, stats


def add_rms_norm_backward(
    grad_y: Tensor,
    grad_h: Tensor | None,
    h: Tensor,
    weight: Tensor | None,
    stats: Tensor,
    seed: Tensor | None,
    dropout_p: float,
    x_dtype: torch.dtype,
    needs_weight: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of residual, x (empty where it equals residual's) and weight."""
    compute = h.to(stats.dtype)  # grad_h is added before the one rounding
    grad_input, grad_weight = norm.rms_norm_backward(grad_y, compute, weight, stats, needs_weight)
    if grad_h is not None:
        grad_input = grad_input + grad_h
    if dropout_p == 0 and x_dtype == h.dtype:
        grad_x = grad_input.new_empty(0, dtype=x_dtype)
    else:
        grad_x = residual_addition.gradient(grad_input, x_dtype, dropout_p, seed).contiguous()
    return grad_input.to(h.dtype).contiguous(), grad_x, grad_weight
