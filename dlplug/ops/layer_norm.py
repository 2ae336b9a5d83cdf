"""LayerNorm over the last axis."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dlplug.ops import _backend, _library, _norm, _norm_checks
from dlplug.ops.fallback import layer_norm as reference

CROSSOVER = _norm.Crossover(
    forward=98304, forward_narrow=49152, backward=393216, backward_narrow=98304
)


def layer_norm(
    x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Normalise each row of ``x`` to mean 0 and variance 1, then scale and shift.

    y = (x - mean) / sqrt(var + eps) * weight + bias, statistics over the last axis, in float32.

    Args:
        x: Input, shape ``(..., D)``, float32, bfloat16, float16 or float64; any strides.
        weight: Scale, shape ``(D,)``, of ``x``'s dtype or float32; None for 1.
        bias: Shift, shape ``(D,)``, of ``weight``'s dtype; None for 0.
        eps: Added to the variance (unit of x squared).
    Returns:
        Contiguous tensor of ``x``'s shape and dtype (float32 under CUDA autocast, as torch's own).
    Raises:
        ShapeError: ``weight`` or ``bias`` is not ``(D,)``, or ``x`` has no axis.
        DtypeError: A dtype that is not listed above.
        BackendError: The backend asked for cannot take the call.
    Numerics: at most twice PyTorch's own rounding error. Deterministic for any thread count.
    References: Ba, Kiros, Hinton 2016, arXiv:1607.06450, eq. 3-4.
    """
    if _backend.is_auto() and CROSSOVER.decline(x, weight, bias):
        try:  # F.layer_norm looks at cuDNN's switch first
            return torch.layer_norm(x, x.shape[-1:], weight, bias, eps)
        except RuntimeError:
            pass  # the checks below say what is wrong as they do on every backend
    _norm_checks.check("layer_norm", x, weight, bias)
    x, weight, bias = _norm.widened(x, weight, bias)
    route = OP.route(x, weight, bias)
    if route == "native":
        return _forward(x, weight, bias, eps)[0]
    if route == "torch":
        return F.layer_norm(x, x.shape[-1:], weight, bias, eps)
    return reference.layer_norm(x, weight, bias, eps)


def _fake_forward(x, weight, bias, eps):
    stats = x.new_empty((2, _norm.rows_of(x)), dtype=reference.statistics_dtype(x))
    return x.new_empty(x.shape), stats


def _fake_backward(grad_y, x, weight, bias, stats, needs_weights):
    width = x.shape[-1] if needs_weights else 0
    return (
        x.new_empty(x.shape),
        x.new_empty(width, dtype=stats.dtype if weight is None else weight.dtype),
        x.new_empty(width, dtype=stats.dtype if bias is None else bias.dtype),
    )


def _setup_context(ctx, inputs, output):
    x, weight, bias, ctx.eps = inputs
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(x, weight, bias, output[1])


def _gradients(ctx, grad_y, _):
    if grad_y is None:
        return None, None, None, None
    x, weight, bias, stats = ctx.saved_tensors
    needs_x, needs_weight, needs_bias, _ = ctx.needs_input_grad
    if torch.is_grad_enabled():  # create_graph: the gradient must be differentiable itself
        mean, rstd = reference.statistics(x, ctx.eps)
        grads = reference.gradients(grad_y, x, weight, mean, rstd)
        inputs = (x, weight, bias)
        grads = [g if i is None else g.to(i.dtype) for g, i in zip(grads, inputs, strict=True)]
    else:
        grads = _backward(grad_y, x, weight, bias, stats, needs_weight or needs_bias)
    return (
        grads[0] if needs_x else None,
        grads[1] if needs_weight else None,
        grads[2] if needs_bias else None,
        None,
    )


_forward = _library.define(
    "layer_norm_forward(Tensor x, Tensor? weight, Tensor? bias, float eps) -> (Tensor, Tensor)",
    fallback=reference.layer_norm_forward,
    fake=_fake_forward,
    setup_context=_setup_context,
    backward=_gradients,
)
_backward = _library.define(
    "layer_norm_backward(Tensor grad_y, Tensor x, Tensor? weight, Tensor? bias, Tensor stats, "
    "bool needs_weights) -> (Tensor, Tensor, Tensor)",
    fallback=reference.layer_norm_backward,
    fake=_fake_backward,
)


def _otherwise(x, weight, bias):
    if _norm.is_beyond_torch(weight, bias, x.dtype):
        return "reference"
    # PyTorch's CUDA kernel takes one dtype only.
    return "torch" if x.is_cpu or _norm.share_dtype(x, x.dtype, weight, bias) else "reference"


OP = _backend.register(
    _backend.Op(
        function=layer_norm,
        arguments=("x", "weight", "bias"),
        kernels=(_forward, _backward),
        refuse=_norm.refuse,
        decline=CROSSOVER.decline,
        otherwise=_otherwise,
    )
)
