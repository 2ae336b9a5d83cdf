"""Residual addition, with dropout, and LayerNorm of the sum, in plain PyTorch."""

import torch
from torch import Tensor

from dlplug.ops.fallback import layer_norm as norm
from dlplug.ops.fallback import residual as residual_addition


def add_layer_norm(
    x: Tensor,
    residual: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    dropout_p: float = 0.0,
    seed: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """h = dropout(x) + residual; returns ``layer_norm(h)`` and h; differentiable."""
    return add_layer_norm_forward(x, residual, weight, bias, seed, eps, dropout_p)[:2]


def add_layer_norm_forward(
    x: Tensor,
    residual: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    seed: Tensor | None,
    eps: float,
    dropout_p: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """``add_layer_norm`` and the statistics of h, ``(2, rows)``."""
    h = residual_addition.add(x, residual, dropout_p, seed)
    y, stats = norm.layer_norm_forward(h, weight, bias, eps)
    return y, h, stats


def add_layer_norm_backward(
    grad_y: Tensor,
    grad_h: Tensor | None,
    h: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    stats: Tensor,
    seed: Tensor | None,
    dropout_p: float,
    x_dtype: torch.dtype,
    needs_weights: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of residual, x (empty where it equals residual's), weight and bias."""
    compute = h.to(stats.dtype)  # grad_h is added before the one rounding
    grad_input, grad_weight, grad_bias = norm.layer_norm_backward(
        grad_y, compute, weight, bias, stats, needs_weights
    )
    if grad_h is not None:
        grad_input = grad_input + grad_h
    if dropout_p == 0 and x_dtype == h.dtype:
        grad_x = grad_input.new_empty(0, dtype=x_dtype)
    else:
        grad_x = residual_addition.gradient(grad_input, x_dtype, dropout_p, seed).contiguous()
    return grad_input.to(h.dtype).contiguous(), grad_x, grad_weight, grad_bias
