"""LayerNorm and RMSNorm of torch over the fused ops, alone and after a residual addition."""

import torch
from torch import Tensor
from torch.fx import Proxy

from dlplug.errors import BackendError, OpError
from dlplug.ops.acceleration.swap import Swapped
from dlplug.ops.acceleration.watching import is_unwatched
from dlplug.ops.add_layer_norm import add_layer_norm
from dlplug.ops.add_rms_norm import add_rms_norm
from dlplug.ops.layer_norm import layer_norm
from dlplug.ops.rms_norm import rms_norm


class FusedNorm(Swapped):
    """A norm over the last axis. Calls that the op does not take go to the plain forward pass."""

    def fused_norm(self, x: Tensor) -> Tensor:
        """The norm of ``x``, shape ``(..., D)``."""
        raise NotImplementedError  # each norm has its own

    def fused_add_norm(self, x: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
        """The norm of ``x + residual``, and the sum."""
        raise NotImplementedError  # each norm has its own

    def takes(self, x: Tensor) -> bool:
        """Whether the op means by ``x`` what the module does."""
        raise NotImplementedError  # each norm has its own

    def forward(self, x: Tensor) -> Tensor:
        is_recorded = isinstance(x, Proxy) or torch.jit.is_tracing()
        if not is_recorded and self.takes(x):
            try:
                return self.fused_norm(x)
            except BackendError:
                raise  # a backend that was asked for
            except OpError:
                pass  # the plain forward pass says it in its own words
        return super().forward(x)


class FusedAdditions(Swapped):
    """A block whose residual additions go with its norms, where those are swapped."""

    @classmethod
    def why_useless(cls, module: torch.nn.Module) -> str | None:
        has_fused = any(isinstance(child, FusedNorm) for child in module.children())
        return None if has_fused else "none of its norms is swapped for one that can add first"


class FusedLayerNorm(FusedNorm):
    """``torch.nn.LayerNorm`` over one axis."""

    ops = ("layer_norm",)

    def takes(self, x: Tensor) -> bool:
        return not x.is_nested and x.shape[-1:] == self.normalized_shape

    def fused_norm(self, x: Tensor) -> Tensor:
        return layer_norm(x, self.weight, self.bias, self.eps)

    def fused_add_norm(self, x: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
        return add_layer_norm(x, residual, self.weight, self.bias, self.eps)


class FusedFormulaRMSNorm(FusedNorm):
    """The RMSNorm that Hugging Face transformers repeats in most of its language models.

    Its statistics are float32 sums, its result has the wider dtype of input and weight.
    """

    ops = ("rms_norm",)

    def takes(self, x: Tensor) -> bool:
        is_single = x.dtype in (torch.float32, torch.bfloat16, torch.float16)
        return (
            is_single
            and self.weight.dtype is x.dtype
            and not x.is_nested
            and x.shape[-1:] == self.weight.shape
        )

    def fused_norm(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.variance_epsilon)

    def fused_add_norm(self, x: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
        return add_rms_norm(x, residual, self.weight, self.variance_epsilon)


class FusedRMSNorm(FusedNorm):
    """``torch.nn.RMSNorm`` over one axis."""

    ops = ("rms_norm",)

    def takes(self, x: Tensor) -> bool:
        # Of a weight in another dtype torch warns, and what it returns depends on the device.
        same = self.weight is None or self.weight.dtype is x.dtype
        return same and not x.is_nested and x.shape[-1:] == self.normalized_shape

    def fused_norm(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, _eps(self.eps, x))

    def fused_add_norm(self, x: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
        return add_rms_norm(x, residual, self.weight, _eps(self.eps, x))


def _eps(eps: float | None, x: Tensor) -> float:
    """None is the machine epsilon of the dtype in which torch takes the mean."""
    if eps is not None:
        return eps
    return torch.finfo(torch.float64 if x.dtype is torch.float64 else torch.float32).eps


def add_and_norm(norm: torch.nn.Module, x: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
    """``norm(x + residual)`` and the sum; in one pass where ``norm`` is swapped and unwatched.

    Args:
        norm: Any module.
        x, residual: Shape ``(..., D)``.
    """
    if (
        isinstance(norm, FusedNorm)
        and isinstance(x, Tensor)
        and isinstance(residual, Tensor)
        and not torch.jit.is_tracing()
        and x.dtype is residual.dtype
        and not (x.is_nested or residual.is_nested)
        and x.shape == residual.shape
        and norm.takes(x)
        and is_unwatched(norm)
    ):
        try:
            return norm.fused_add_norm(x, residual)
        except BackendError:
            raise
        except OpError:
            pass
    h = x + residual
    return norm(h), h
