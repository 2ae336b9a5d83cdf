"""RMSNorm in plain PyTorch (Zhang, Sennrich 2019, arXiv:1910.07467, eq. 4)."""

import torch
from torch import Tensor

from dlplug.ops.fallback.layer_norm import statistics_dtype, sum_of_rows


def rms_norm(x: Tensor, weight: Tensor | None = None, eps: float = 1e-6) -> Tensor:
    """y = x / sqrt(mean(x^2) + eps) * weight over the last axis; differentiable."""
    return rms_norm_forward(x, weight, eps)[0]


def rms_norm_forward(x: Tensor, weight: Tensor | None, eps: float) -> tuple[Tensor, Tensor]:
    """``rms_norm`` and 1 / sqrt(mean(x^2) + eps) of its rows, ``(1, rows)``."""
    rstd = statistics(x, eps)
    y = x.to(rstd.dtype) * rstd
    if weight is not None:
        y = y * weight
    return y.to(x.dtype).contiguous(), rstd.flatten().unsqueeze(0)


def rms_norm_backward(
    grad_y: Tensor, x: Tensor, weight: Tensor | None, stats: Tensor, needs_weight: bool
) -> tuple[Tensor, Tensor]:
    """Gradients of x and weight; the latter is empty unless ``needs_weight``."""
    rstd = stats.view(*x.shape[:-1], 1)
    grad_x, grad_weight = gradients(grad_y, x, weight, rstd)
    if not needs_weight:
        grad_weight = stats.new_empty(0)
    return grad_x.contiguous(), grad_weight.to(stats.dtype if weight is None else weight.dtype)


def statistics(x: Tensor, eps: float) -> Tensor:
    """1 / sqrt(mean(x^2) + eps) of each row, ``(..., 1)``, in float32 (float64 of float64)."""
    return torch.rsqrt(x.to(statistics_dtype(x)).square().mean(-1, keepdim=True) + eps)


def gradients(
    grad_y: Tensor, x: Tensor, weight: Tensor | None, rstd: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of x (x's dtype) and weight (the statistics' dtype); differentiable."""
    grad = grad_y.to(rstd.dtype)
    xhat = x.to(rstd.dtype) * rstd
    g = grad if weight is None else grad * weight
    grad_x = rstd * (g - xhat * (g * xhat).mean(-1, keepdim=True))
    return grad_x.to(x.dtype), sum_of_rows(grad * xhat)
