"""What no backend of the norm ops accepts, refused with the same message on all of them."""

import torch
from torch import Tensor

from dlplug.errors import DtypeError, OpError, ShapeError


def check(op: str, x: Tensor, weight: Tensor | None, bias: Tensor | None = None) -> None:
    """Refuse a call of a norm without residual.

    Args:
        op: Its name, for messages.
        x, weight, bias: As of the op.
    Raises:
        ShapeError: ``x`` without an axis, or another shape of weight or bias than its last axis.
        DtypeError: ``x`` is not floating point; weight or bias is neither of its dtype nor float32;
            or they differ.
    """
    if x.dim() == 0:
        raise ShapeError(f"{op}: x needs at least one axis, got shape ()")
    if not x.dtype.is_floating_point:
        raise DtypeError(f"{op}: x must be floating point, got {x.dtype}")
    if weight is not None:
        _check_row(op, "weight", weight, x.shape[-1], x.dtype)
    if bias is not None:
        _check_row(op, "bias", bias, x.shape[-1], x.dtype)
        if weight is not None and weight.dtype is not bias.dtype:
            raise DtypeError(f"{op}: weight is {weight.dtype}, but bias is {bias.dtype}")


def check_residual(
    op: str,
    x: Tensor,
    residual: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    dropout_p: float,
) -> None:
    """The same for the ops that add ``x`` to ``residual`` first.

    Raises:
        ShapeError, DtypeError: As of `check`, of the sum; or ``residual`` has another shape.
        OpError: ``dropout_p`` is no probability.
    """
    if residual.shape != x.shape:
        raise ShapeError(
            f"{op}: residual must have x's shape {tuple(x.shape)}, got {tuple(residual.shape)}"
        )
    if not x.dtype.is_floating_point:
        raise DtypeError(f"{op}: x must be floating point, got {x.dtype}")
    if not 0 <= dropout_p <= 1:
        raise OpError(f"{op}: dropout_p must be within [0, 1], got {dropout_p}")
    h = residual if residual.dtype is x.dtype else _promoted(x, residual)
    check(op, h, weight, bias)


def _promoted(x: Tensor, residual: Tensor) -> Tensor:
    dtype = torch.promote_types(x.dtype, residual.dtype)
    return torch.empty(x.shape, dtype=dtype, device="meta")


def _check_row(op: str, name: str, row: Tensor, width: int, dtype: torch.dtype) -> None:
    if row.dim() != 1 or row.shape[0] != width:
        raise ShapeError(
            f"{op}: {name} must have shape ({width},) like the last axis of x, "
            f"got {tuple(row.shape)}"
        )
    if row.dtype is not dtype and (row.dtype is not torch.float32 or dtype.itemsize != 2):
        raise DtypeError(f"{op}: {name} must be {dtype} like x, or float32; got {row.dtype}")
