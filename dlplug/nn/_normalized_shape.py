"""Normalising over several trailing axes with ops that know one."""

from collections.abc import Callable

from torch import Tensor

from dlplug.errors import ShapeError


def over_trailing_axes(
    norm: Callable[..., Tensor],
    name: str,
    x: Tensor,
    normalized_shape: tuple[int, ...],
    *weights: Tensor | None,
) -> Tensor:
    """``norm(x, *weights)`` with the axes of ``normalized_shape`` taken as one.

    Args:
        norm: An op over the last axis.
        name: The module's, for the error.
        x: Input, shape ``(..., *normalized_shape)``.
        normalized_shape: The trailing axes.
        *weights: Of shape ``normalized_shape``, or None.
    Raises:
        ShapeError: ``x`` does not end in ``normalized_shape``.
    """
    axes = len(normalized_shape)
    if x.shape[-axes:] != normalized_shape:
        raise ShapeError(
            f"{name}: the input must end in {tuple(normalized_shape)}, got {tuple(x.shape)}"
        )
    if axes == 1:
        return norm(x, *weights)
    flat = (None if weight is None else weight.flatten() for weight in weights)
    return norm(x.flatten(-axes), *flat).view(x.shape)
