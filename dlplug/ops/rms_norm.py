"""RMSNorm over the last axis."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dlplug.ops import _backend, _library, _norm, _norm_checks
from dlplug.ops.fallback import rms_norm as reference
from dlplug.ops.fallback.layer_norm import statistics_dtype


def rms_norm(x: Tensor, weight: Tensor | None = None, eps: float = 1e-6) -> Tensor:
    """Divide each row of ``x`` by its root mean square, then scale.

    y = x / sqrt(mean(x^2) + eps) * weight, the mean over the last axis, in float32.

    Args:
        x: Input, shape ``(..., D)``, float32, bfloat16, float16 or float64; any strides.
        weight: Scale, shape ``(D,)``, of ``x``'s dtype or float32; None for 1.
        eps: Added to the mean square (unit of x squared).
    Returns:
        Contiguous tensor of ``x``'s shape and dtype (float32 under CUDA autocast, as torch's own).
    Raises:
        ShapeError: ``weight`` is not ``(D,)``, or ``x`` has no axis.
        DtypeError: A dtype that is not listed above.
        BackendError: The backend asked for cannot take the call.
    Numerics: at most twice PyTorch's own rounding error. Deterministic for any thread count.
    References: Zhang, Sennrich 2019, arXiv:1910.07467, eq. 4.
    """
    _norm_checks.check("rms_norm", x, weight)
    x, weight = _norm.widened(x, weight)
    route = OP.route(x, weight)
    if route == "native":
        return _forward(x, weight, eps)[0]
    if route == "torch":
        return F.rms_norm(x, x.shape[-1:], weight, eps)
    return reference.rms_norm(x, weight, eps)


def _fake_forward(x, weight, eps):
    stats = x.new_empty((1, _norm.rows_of(x)), dtype=statistics_dtype(x))
    return x.new_empty(x.shape), stats


def _fake_backward(grad_y, x, weight, stats, needs_weight):
    dtype = stats.dtype if weight is None else weight.dtype
    return x.new_empty(x.shape), x.new_empty(x.shape[-1] if needs_weight else 0, dtype=dtype)


def _setup_context(ctx, inputs, output):
    x, weight, ctx.eps = inputs
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(x, weight, output[1])


def _gradients(ctx, grad_y, _):
    if grad_y is None:
        return None, None, None
    x, weight, stats = ctx.saved_tensors
    needs_x, needs_weight, _ = ctx.needs_input_grad
    if torch.is_grad_enabled():  # create_graph: the gradient must be differentiable itself
        rstd = reference.statistics(x, ctx.eps)
        grad_x, grad_weight = reference.gradients(grad_y, x, weight, rstd)
        if weight is not None:
            grad_weight = grad_weight.to(weight.dtype)
    else:
        grad_x, grad_weight = _backward(grad_y, x, weight, stats, needs_weight)
    return grad_x if needs_x else None, grad_weight if needs_weight else None, None


_forward = _library.define(
    "rms_norm_forward(Tensor x, Tensor? weight, float eps) -> (Tensor, Tensor)",
    fallback=reference.rms_norm_forward,
    fake=_fake_forward,
    setup_context=_setup_context,
    backward=_gradients,
)
_backward = _library.define(
    "rms_norm_backward(Tensor grad_y, Tensor x, Tensor? weight, Tensor stats, bool needs_weight) "
    "-> (Tensor, Tensor)",
    fallback=reference.rms_norm_backward,
    fake=_fake_backward,
)


def _otherwise(x, weight):
    # Of mixed dtypes PyTorch warns, and returns the wider one.
    return "torch" if _norm.share_dtype(x, x.dtype, weight) else "reference"


OP = _backend.register(
    _backend.Op(
        function=rms_norm,
        arguments=("x", "weight"),
        kernels=(_forward, _backward),
        refuse=_norm.refuse,
        decline=_norm.never_decline,
        otherwise=_otherwise,
    )
)
