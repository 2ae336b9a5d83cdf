"""RMSNorm as a module."""

import torch
from torch import Tensor
from torch.fx import Proxy

from dlplug.nn._normalized_shape import over_trailing_axes
from dlplug.ops import rms_norm


class RMSNorm(torch.nn.RMSNorm):
    """``torch.nn.RMSNorm`` over ``dlplug.ops.rms_norm``: same arguments, same state.

    y = x / sqrt(mean(x^2) + eps) * weight over the axes of ``normalized_shape``.

    Args:
        normalized_shape: The trailing axes of the input, an int or a sequence.
        eps: Added to the mean square (unit of x squared); None for the machine epsilon of the
            dtype in which the mean is computed, as in torch: float32's, or float64's of float64.
        elementwise_affine: Whether there is a weight (of ones).
        device, dtype: Of the parameters.
    Raises:
        ShapeError: At the call, the input does not end in ``normalized_shape``.
    References: Zhang, Sennrich 2019, arXiv:1910.07467, eq. 4.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Input and output: ``(..., *normalized_shape)``."""
        if isinstance(x, Proxy):  # which has no sizes to look at
            return super().forward(x)
        eps = self.eps
        if eps is None:
            eps = torch.finfo(torch.float64 if x.dtype == torch.float64 else torch.float32).eps

        def norm(x, weight):
            return rms_norm(x, weight, eps)

        return over_trailing_axes(norm, "RMSNorm", x, self.normalized_shape, self.weight)
