"""Residual addition, with dropout, and RMSNorm of the sum, in one pass over memory."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dlplug.ops import _backend, _library, _norm, _norm_checks, _residual_norm
from dlplug.ops.fallback import add_rms_norm as reference
from dlplug.ops.fallback import philox
from dlplug.ops.fallback import residual as residual_addition
from dlplug.ops.fallback import rms_norm as norm_reference


def add_rms_norm(
    x: Tensor,
    residual: Tensor,
    weight: Tensor | None = None,
    eps: float = 1e-6,
    *,
    dropout_p: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Add ``x`` to the residual stream and normalise the sum, as between two pre-norm blocks.

    h = dropout(x) + residual, y = rms_norm(h, weight, eps) over the last axis.

    Args:
        x: A block's output, shape ``(..., D)``, float32, bfloat16, float16 or float64; any strides.
        residual: The stream, shape of ``x``; another dtype promotes as in ``x + residual``.
        weight: Scale, shape ``(D,)``, of h's dtype or float32; None for 1.
        eps: Added to the mean square (unit of x squared).
        dropout_p: Probability with which an element of ``x`` is dropped, within [0, 1]; the others
            are multiplied by 1 / (1 - dropout_p). ``torch.manual_seed`` rules the mask. Pass 0 in
            evaluation.
    Returns:
        ``(y, h)``, contiguous, in the promoted dtype; y is float32 under CUDA autocast, as torch's
            own norm.
    Raises:
        ShapeError: ``residual`` has another shape, ``weight`` is not ``(D,)``.
        DtypeError: A dtype that is not listed above.
        OpError: ``dropout_p`` is outside [0, 1].
        BackendError: The backend asked for cannot take the call.
    Numerics: h is rounded once, and the statistics are those of the rounded h. At most twice
        PyTorch's own rounding error. Deterministic for any thread count.
    References: Zhang, Sennrich 2019, arXiv:1910.07467; Xiong et al. 2020, arXiv:2002.04745.
    """
    _norm_checks.check_residual("add_rms_norm", x, residual, weight, None, dropout_p)
    route = OP.route(x, residual, weight, dropout_p)
    if route == "torch":
        h = (x + residual).contiguous()
        return F.rms_norm(h, h.shape[-1:], weight, eps), h
    seed = None if dropout_p == 0 else philox.draw_seed(x.device)
    if route == "native":
        return _forward(x, residual, weight, seed, eps, dropout_p)[:2]
    if _norm.widens(x):  # y alone becomes float32
        h = residual_addition.add(x, residual, dropout_p, seed)
        return norm_reference.rms_norm(*_norm.widened(h, weight), eps), h
    return reference.add_rms_norm(x, residual, weight, eps, dropout_p, seed)


def _fake_forward(x, residual, weight, seed, eps, dropout_p):
    return _residual_norm.fake_forward(x, residual, num_statistics=1)


def _fake_backward(grad_y, grad_h, h, weight, stats, seed, dropout_p, x_dtype, needs_weight):
    return _residual_norm.fake_backward(h, (weight,), stats, dropout_p, x_dtype, needs_weight)


def _gradients(ctx, grad_y, grad_h, _):
    return _residual_norm.gradients(ctx, grad_y, grad_h, _backward, _differentiate)


def _differentiate(grad_y, h, weight, eps):
    return norm_reference.gradients(grad_y, h, weight, norm_reference.statistics(h, eps))


_forward = _library.define(
    "add_rms_norm_forward(Tensor x, Tensor residual, Tensor? weight, Tensor? seed, "
    "float eps, float dropout_p) -> (Tensor, Tensor, Tensor)",
    fallback=reference.add_rms_norm_forward,
    fake=_fake_forward,
    setup_context=_residual_norm.setup_context,
    backward=_gradients,
)
_backward = _library.define(
    "add_rms_norm_backward(Tensor grad_y, Tensor? grad_h, Tensor h, Tensor? weight, "
    "Tensor stats, Tensor? seed, float dropout_p, ScalarType x_dtype, bool needs_weight) "
    "-> (Tensor, Tensor, Tensor)",
    fallback=reference.add_rms_norm_backward,
    fake=_fake_backward,
)


def _otherwise(x, residual, weight, dropout_p):
    if dropout_p != 0:  # PyTorch's own dropout would draw another mask
        return "reference"
    # Of mixed dtypes PyTorch warns, and returns the wider one.
    dtype = torch.promote_types(x.dtype, residual.dtype)
    return "torch" if _norm.share_dtype(x, dtype, weight) else "reference"


def _refuse(x, residual, weight, dropout_p):
    return _norm.refuse_residual(x, residual, weight)


OP = _backend.register(
    _backend.Op(
        function=add_rms_norm,
        arguments=("x", "residual", "weight", "dropout_p"),
        kernels=(_forward, _backward),
        refuse=_refuse,
        decline=_norm.never_decline,
        otherwise=_otherwise,
    )
)
