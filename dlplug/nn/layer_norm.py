"""LayerNorm as a module."""

import torch
from torch import Tensor
from torch.fx import Proxy

from dlplug.nn._normalized_shape import over_trailing_axes
from dlplug.ops import layer_norm


class LayerNorm(torch.nn.LayerNorm):
    """``torch.nn.LayerNorm`` over ``dlplug.ops.layer_norm``: same arguments, same state.

    y = (x - mean) / sqrt(var + eps) * weight + bias over the axes of ``normalized_shape``.

    Args:
        normalized_shape: The trailing axes of the input, an int or a sequence.
        eps: Added to the variance (unit of x squared), default 1e-5.
        elementwise_affine: Whether there are a weight (of ones) and a bias (of zeros).
        bias: Whether there is a bias; counts only with ``elementwise_affine``.
        device, dtype: Of the parameters.
    Raises:
        ShapeError: At the call, the input does not end in ``normalized_shape``.
    References: Ba, Kiros, Hinton 2016, arXiv:1607.06450, eq. 3-4.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Input and output: ``(..., *normalized_shape)``."""
        if isinstance(input, Proxy) or input.is_nested:  # which have no sizes to look at
            return super().forward(input)
        shape = self.normalized_shape
        if input.shape[-1:] == shape:
            return layer_norm(input, self.weight, self.bias, self.eps)

        def norm(x, weight, bias):
            return layer_norm(x, weight, bias, self.eps)

        return over_trailing_axes(norm, "LayerNorm", input, shape, self.weight, self.bias)
