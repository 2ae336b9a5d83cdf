"""What a tensor must be that belongs to a parameter, for the ops that take lists of them."""

from torch import Tensor

from dlplug.errors import DtypeError, ShapeError


def check_shape(what: str, tensor: Tensor, param: Tensor) -> None:
    """It has the parameter's shape.

    Args:
        what: The tensor, for the message: ``adamw_: grads[3]``.
        tensor: The one.
        param: Whose it is.
    Raises:
        ShapeError: it has another.
    """
    if tensor.shape != param.shape:
        raise ShapeError(
            f"{what} has shape {tuple(tensor.shape)}, its parameter {tuple(param.shape)}"
        )


def check_shape_and_dtype(what: str, tensor: Tensor, param: Tensor) -> None:
    """It has the parameter's shape and dtype; the arguments of `check_shape`.

    Raises:
        ShapeError: it has another shape.
        DtypeError: it has another dtype.
    """
    check_shape(what, tensor, param)
    if tensor.dtype is not param.dtype:
        raise DtypeError(f"{what} is {tensor.dtype}, its parameter {param.dtype}")
