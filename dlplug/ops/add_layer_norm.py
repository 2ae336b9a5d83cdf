"""Residual addition, with dropout, and LayerNorm of the sum, in one pass over memory."""

import torch
from torch import Tensor

from dlplug.ops import _backend, _library, _norm, _norm_checks, _residual_norm
from dlplug.ops.fallback import add_layer_norm as reference
from dlplug.ops.fallback import layer_norm as norm_reference
from dlplug.ops.fallback import philox
from dlplug.ops.fallback import residual as residual_addition

CROSSOVER = _norm.Crossover(
    forward=98304, forward_narrow=32768, backward=196608, backward_narrow=65536
)


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
        ``(y, h)``, contiguous, in the promoted dtype; y is float32 under CUDA autocast, as torch's
            own norm.
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
        and residual.dtype is x.dtype
        and residual.shape == x.shape
        and _decline(x, residual, weight, bias, dropout_p)
    ):
        try:
            return _by_torch(x, residual, weight, bias, eps)
        except RuntimeError:
            pass  # the checks below say what is wrong as they do on every backend
    _norm_checks.check_residual("add_layer_norm", x, residual, weight, bias, dropout_p)
    route = OP.route(x, residual, weight, bias, dropout_p)
    if route == "torch":
        return _by_torch(x, residual, weight, bias, eps)
    seed = None if dropout_p == 0 else philox.draw_seed(x.device)
    if route == "native":
        return _forward(x, residual, weight, bias, seed, eps, dropout_p)[:2]
    if _norm.widens(x):  # y alone becomes float32
        h = residual_addition.add(x, residual, dropout_p, seed)
        return norm_reference.layer_norm(*_norm.widened(h, weight, bias), eps), h
    return reference.add_layer_norm(x, residual, weight, bias, eps, dropout_p, seed)


def _by_torch(x, residual, weight, bias, eps):
    h = x + residual
    if not h.is_contiguous():
        h = h.contiguous()
    # F.layer_norm looks at cuDNN's switch first.
    return torch.layer_norm(h, h.shape[-1:], weight, bias, eps), h


def _fake_forward(x, residual, weight, bias, seed, eps, dropout_p):
    return _residual_norm.fake_forward(x, residual, num_statistics=2)


def _fake_backward(grad_y, grad_h, h, weight, bias, stats, seed, dropout_p, x_dtype, needs_weights):
    rows = (weight, bias)
    return _residual_norm.fake_backward(h, rows, stats, dropout_p, x_dtype, needs_weights)


def _gradients(ctx, grad_y, grad_h, _):
    return _residual_norm.gradients(ctx, grad_y, grad_h, _backward, _differentiate)


def _differentiate(grad_y, h, weight, bias, eps):
    mean, rstd = norm_reference.statistics(h, eps)
    return norm_reference.gradients(grad_y, h, weight, mean, rstd)


_forward = _library.define(
    "add_layer_norm_forward(Tensor x, Tensor residual, Tensor? weight, Tensor? bias, Tensor? seed, "
    "float eps, float dropout_p) -> (Tensor, Tensor, Tensor)",
    fallback=reference.add_layer_norm_forward,
    fake=_fake_forward,
    setup_context=_residual_norm.setup_context,
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


def _otherwise(x, residual, weight, bias, dropout_p):
    if dropout_p != 0:  # PyTorch's own dropout would draw another mask
        return "reference"
    dtype = torch.promote_types(x.dtype, residual.dtype)
    if _norm.is_beyond_torch(weight, bias, dtype):
        return "reference"
    # PyTorch's CUDA kernel takes one dtype only.
    return "torch" if x.is_cpu or _norm.share_dtype(x, dtype, weight, bias) else "reference"


def _refuse(x, residual, weight, bias, dropout_p):
    return _norm.refuse_residual(x, residual, weight, bias)


OP = _backend.register(
    _backend.Op(
        function=add_layer_norm,
        arguments=("x", "residual", "weight", "bias", "dropout_p"),
        kernels=(_forward, _backward),
        refuse=_refuse,
        decline=_decline,
        otherwise=_otherwise,
    )
)
