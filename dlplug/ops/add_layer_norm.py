"""Residual addition, with dropout, and LayerNorm of the sum, in one pass over memory."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dlplug.ops import _backend, _library, _norm
from dlplug.ops.fallback import add_layer_norm as reference
from dlplug.ops.fallback import layer_norm as norm_reference
from dlplug.ops.fallback import philox
from dlplug.ops.fallback.residual import gradient

CROSSOVER = _norm.Crossover(forward=16384, backward=65536, backward_narrow=24576)


def add_layer_norm(
    x: Tensor,
    residual: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *,
    dropout_p: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Add ``x`` to the residual stream and normalise the sum, as between two pre-norm blocks.

    h = dropout(x) + residual, y = layer_norm(h, weight, bias, eps) over the last axis.

    Args:
        x: A block's output, shape ``(..., D)``, float32, bfloat16, float16 or float64; any strides.
        residual: The stream, shape of ``x``; another dtype promotes as in ``x + residual``.
        weight: Scale, shape ``(D,)``, of h's dtype or float32; None for 1.
        bias: Shift, shape ``(D,)``, of ``weight``'s dtype; None for 0.
        eps: Added to the variance (unit of x squared).
        dropout_p: Probability with which an element of ``x`` is dropped, within [0, 1]; the others
            are multiplied by 1 / (1 - dropout_p). ``torch.manual_seed`` rules the mask. Pass 0 in
            evaluation.
    Returns:
        ``(y, h)``, contiguous, in the promoted dtype.
    Raises:
        ShapeError: ``residual`` has another shape, ``weight`` or ``bias`` is not ``(D,)``.
        DtypeError: A dtype that is not listed above.
        OpError: ``dropout_p`` is outside [0, 1].
        BackendError: The backend asked for cannot take the call.
    Numerics: h is rounded once, and the statistics are those of the rounded h. At most twice
        PyTorch's own rounding error. Deterministic for any thread count.
    References: Ba, Kiros, Hinton 2016, arXiv:1607.06450; Xiong et al. 2020, arXiv:2002.04745.
    """
    if (
        _backend.is_auto()
        and residual.shape == x.shape
        and _decline(x, residual, weight, bias, dropout_p)
    ):
        try:
            h = x + residual
            return F.layer_norm(h, h.shape[-1:], weight, bias, eps), h
        except RuntimeError:
            pass  # the checks below say what is wrong as they do on every backend
    _norm.check_residual("add_layer_norm", x, residual, weight, bias, dropout_p)
    route = OP.route(x, residual, weight, bias, dropout_p)
    if route == "torch":
        h = (x if dropout_p == 0 else F.dropout(x, dropout_p)) + residual
        return F.layer_norm(h, h.shape[-1:], weight, bias, eps), h
    seed = None if dropout_p == 0 else philox.draw_seed(x.device)
    if route == "native":
        return _forward(x, residual, weight, bias, seed, eps, dropout_p)[:2]
    return reference.add_layer_norm(x, residual, weight, bias, eps, dropout_p, seed)


def _fake_forward(x, residual, weight, bias, seed, eps, dropout_p):
    h = x.new_empty(x.shape, dtype=torch.promote_types(x.dtype, residual.dtype))
    stats = x.new_empty((2, _norm.rows_of(x)), dtype=norm_reference.statistics_dtype(h))
    return h, torch.empty_like(h), stats


def _fake_backward(grad_y, grad_h, h, weight, bias, stats, seed, dropout_p, x_dtype, needs_weights):
    width = h.shape[-1] if needs_weights else 0
    is_same = dropout_p == 0 and x_dtype == h.dtype
    return (
        h.new_empty(h.shape),
        h.new_empty(0 if is_same else h.shape, dtype=x_dtype),
        h.new_empty(width, dtype=stats.dtype if weight is None else weight.dtype),
        h.new_empty(width, dtype=stats.dtype if bias is None else bias.dtype),
    )


def _setup_context(ctx, inputs, output):
    x, _, weight, bias, seed, ctx.eps, ctx.dropout_p = inputs
    _, h, stats = output
    ctx.x_dtype = x.dtype
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(stats)
    ctx.save_for_backward(h, weight, bias, seed, stats)


def _gradients(ctx, grad_y, grad_h, _):
    h, weight, bias, seed, stats = ctx.saved_tensors
    if grad_y is None:
        if grad_h is None:
            return (None,) * 7
        grad_y = torch.zeros_like(h)
    needs_weights = ctx.needs_input_grad[2] or ctx.needs_input_grad[3]
    if torch.is_grad_enabled():  # create_graph: the gradient must be differentiable itself
        grads = _differentiable_gradients(ctx, grad_y, grad_h, h, weight, bias, seed)
    else:
        grads = _backward(
            grad_y, grad_h, h, weight, bias, stats, seed, ctx.dropout_p, ctx.x_dtype, needs_weights
        )
    grad_residual, grad_x, grad_weight, grad_bias = grads
    if ctx.dropout_p == 0 and ctx.x_dtype == h.dtype:
        grad_x = grad_residual
    grads = (grad_x, grad_residual, grad_weight, grad_bias)
    needed = (g if n else None for g, n in zip(grads, ctx.needs_input_grad, strict=False))
    return (*needed, None, None, None)


def _differentiable_gradients(ctx, grad_y, grad_h, h, weight, bias, seed):
    mean, rstd = norm_reference.statistics(h, ctx.eps)
    grad_input, grad_weight, grad_bias = norm_reference.gradients(grad_y, h, weight, mean, rstd)
    if grad_h is not None:
        grad_input = grad_input + grad_h
    return (
        grad_input,
        gradient(grad_input, ctx.x_dtype, ctx.dropout_p, seed),
        grad_weight if weight is None else grad_weight.to(weight.dtype),
        grad_bias if bias is None else grad_bias.to(bias.dtype),
    )


_forward = _library.define(
    "add_layer_norm_forward(Tensor x, Tensor residual, Tensor? weight, Tensor? bias, Tensor? seed, "
    "float eps, float dropout_p) -> (Tensor, Tensor, Tensor)",
    fallback=reference.add_layer_norm_forward,
    fake=_fake_forward,
    setup_context=_setup_context,
    backward=_gradients,
)
_backward = _library.define(
    "add_layer_norm_backward(Tensor grad_y, Tensor? grad_h, Tensor h, Tensor? weight, "
    "Tensor? bias, Tensor stats, Tensor? seed, float dropout_p, ScalarType x_dtype, "
    "bool needs_weights) -> (Tensor, Tensor, Tensor, Tensor)",
    fallback=reference.add_layer_norm_backward,
    fake=_fake_backward,
)


def _decline(x, residual, weight, bias, dropout_p):
    # PyTorch's dropout on the CPU costs more than any call.
    return CROSSOVER.decline(x, residual, weight, bias) if dropout_p == 0 else None


def _refuse(x, residual, weight, bias, dropout_p):
    return _norm.refuse_residual(x, residual, weight, bias)


OP = _backend.register(
    _backend.Op(
        function=add_layer_norm,
        arguments=("x", "residual", "weight", "bias", "dropout_p"),
        kernels=(_forward, _backward),
        refuse=_refuse,
        decline=_decline,
        otherwise="torch",
    )
)
