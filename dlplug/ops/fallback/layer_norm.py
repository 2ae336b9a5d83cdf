"""LayerNorm in plain PyTorch (Ba, Kiros, Hinton 2016, arXiv:1607.06450, eq. 3-4)."""

import math

import torch
from torch import Tensor


def layer_norm(
    x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """y = (x - mean) / sqrt(var + eps) * weight + bias over the last axis; differentiable."""
    return layer_norm_forward(x, weight, bias, eps)[0]


def layer_norm_forward(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    """``layer_norm`` and the statistics of its rows, ``(2, rows)``: mean and 1 / deviation."""
    mean, rstd = statistics(x, eps)
    y = (x.to(mean.dtype) - mean) * rstd
    if weight is not None:
        y = y * weight
    if bias is not None:
        y = y + bias
    return y.to(x.dtype).contiguous(), torch.stack([mean.flatten(), rstd.flatten()])


def layer_norm_backward(
    grad_y: Tensor,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    stats: Tensor,
    needs_weights: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias; the latter two are empty unless ``needs_weights``."""
    mean, rstd = stats.view(2, *x.shape[:-1], 1)
    grad_x, grad_weight, grad_bias = gradients(grad_y, x, weight, mean, rstd)
    if not needs_weights:
        grad_weight, grad_bias = stats.new_empty(0), stats.new_empty(0)
    return (
        grad_x.contiguous(),
        grad_weight.to(stats.dtype if weight is None else weight.dtype),
        grad_bias.to(stats.dtype if bias is None else bias.dtype),
    )


def statistics(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Mean and 1 / sqrt(var + eps) of each row, ``(..., 1)``, in float32 (float64 of float64)."""
    x = x.to(statistics_dtype(x))
    mean = x.mean(-1, keepdim=True)
    variance = (x - mean).square().mean(-1, keepdim=True)
    return mean, torch.rsqrt(variance + eps)


def gradients(
    grad_y: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, rstd: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x (x's dtype), weight and bias (the statistics' dtype); differentiable."""
    grad = grad_y.to(mean.dtype)
    xhat = (x.to(mean.dtype) - mean) * rstd
    g = grad if weight is None else grad * weight
    grad_x = rstd * (g - g.mean(-1, keepdim=True) - xhat * (g * xhat).mean(-1, keepdim=True))
    return grad_x.to(x.dtype), sum_of_rows(grad * xhat), sum_of_rows(grad)


def sum_of_rows(x: Tensor) -> Tensor:
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1]).sum(0)


def statistics_dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32
