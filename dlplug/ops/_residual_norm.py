"""What the norms that add a residual first share: shapes without computing, and gradients.

Their schemas differ in the ``rows``, each ``(D,)``: weight and bias, or weight alone.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dlplug.ops._norm import rows_of
from dlplug.ops.fallback.layer_norm import statistics_dtype
from dlplug.ops.fallback.residual import gradient


def fake_forward(x: Tensor, residual: Tensor, num_statistics: int) -> tuple[Tensor, ...]:
    """y, h and ``(num_statistics, rows)`` statistics."""
    h = x.new_empty(x.shape, dtype=torch.promote_types(x.dtype, residual.dtype))
    stats = x.new_empty((num_statistics, rows_of(x)), dtype=statistics_dtype(h))
    return h, torch.empty_like(h), stats


def fake_backward(
    h: Tensor, rows: tuple[Tensor | None, ...], stats: Tensor, dropout_p, x_dtype, needs_rows
) -> tuple[Tensor, ...]:
    """Gradients of residual, x (empty where it equals residual's) and the rows."""
    is_same = dropout_p == 0 and x_dtype == h.dtype
    width = h.shape[-1] if needs_rows else 0
    dtypes = (stats.dtype if row is None else row.dtype for row in rows)
    return (
        h.new_empty(h.shape),
        h.new_empty(0 if is_same else h.shape, dtype=x_dtype),
        *(h.new_empty(width, dtype=dtype) for dtype in dtypes),
    )


def setup_context(ctx, inputs, output) -> None:
    x, _, *rows, seed, ctx.eps, ctx.dropout_p = inputs
    _, h, stats = output
    ctx.x_dtype = x.dtype
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(stats)
    ctx.save_for_backward(h, stats, seed, *rows)


def gradients(ctx, grad_y, grad_h, backward: Callable, differentiate: Callable) -> tuple:
    """Gradients of x, residual, the rows, and None for what has none.

    Args:
        backward: The compiled op, called in its schema's order.
        differentiate: ``(grad_y, h, *rows, eps) -> (gradient of h, *gradients of the rows)`` of the
            norm, differentiable.
    """
    h, stats, seed, *rows = ctx.saved_tensors
    if grad_y is None:
        if grad_h is None:
            return (None,) * len(ctx.needs_input_grad)
        # Nothing went through the norm: a row of h that is not finite has a gradient all the same.
        grad_x = gradient(grad_h, ctx.x_dtype, ctx.dropout_p, seed)
        grads = (grad_x, grad_h, *(None for _ in rows))
    elif torch.is_grad_enabled():  # create_graph: the gradient must be differentiable itself
        grad_input, *grad_rows = differentiate(grad_y, h, *rows, ctx.eps)
        grad_residual = grad_input if grad_h is None else grad_input + grad_h
        grad_x = gradient(grad_residual, ctx.x_dtype, ctx.dropout_p, seed)
        pairs = zip(grad_rows, rows, strict=True)
        grad_rows = [grad if row is None else grad.to(row.dtype) for grad, row in pairs]
        grads = (grad_x, grad_residual, *grad_rows)
    else:
        needs_rows = any(ctx.needs_input_grad[2 : 2 + len(rows)])
        grad_residual, grad_x, *grad_rows = backward(
            grad_y, grad_h, h, *rows, stats, seed, ctx.dropout_p, ctx.x_dtype, needs_rows
        )
        if ctx.dropout_p == 0 and ctx.x_dtype == h.dtype:
            grad_x = grad_residual
        grads = (grad_x, grad_residual, *grad_rows)
    needed = (g if n else None for g, n in zip(grads, ctx.needs_input_grad, strict=False))
    return (*needed, None, None, None)
