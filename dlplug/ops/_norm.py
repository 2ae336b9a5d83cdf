"""Which calls of the norm ops their kernels take, and what PyTorch's own norms do with others."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

KERNEL_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def refuse(x: Tensor, weight: Tensor | None, bias: Tensor | None = None) -> str | None:
    """Why the compiled norm kernels cannot take a call, or None."""
    if x.dtype not in KERNEL_DTYPES:
        return f"{x.dtype} is not float32, bfloat16 or float16"
    for name, row in (("weight", weight), ("bias", bias)):
        if row is not None and _is_elsewhere(row, x):
            return f"{name} is on another device"
    return None


def refuse_residual(
    x: Tensor, residual: Tensor, weight: Tensor | None, bias: Tensor | None = None
) -> str | None:
    """The same for the ops that add ``x`` to ``residual`` first."""
    if residual.dtype is not x.dtype and residual.dtype is not torch.float32:
        return f"residual is {residual.dtype}, neither {x.dtype} like x nor float32"
    if x.dtype not in KERNEL_DTYPES:
        return f"{x.dtype} is not float32, bfloat16 or float16"
    if _is_elsewhere(residual, x):
        return "residual is on another device"
    if residual.dtype is not torch.float32 and widens(x):
        return f"under autocast y is float32, but h is {residual.dtype}"
    return refuse(residual, weight, bias)


def _is_elsewhere(tensor: Tensor, x: Tensor) -> bool:
    # Devices are compared where there can be several of a kind: making the objects takes time.
    return tensor.is_cpu is not x.is_cpu or (not x.is_cpu and tensor.device != x.device)


def widens(x: Tensor) -> bool:
    """Whether PyTorch's own norms compute in and return float32 here: below CUDA autocast."""
    return x.is_cuda and torch.is_autocast_enabled("cuda")


def widened(x: Tensor, *rows: Tensor | None) -> tuple[Tensor | None, ...]:
    """``x``, weight and bias as PyTorch's own norms take them: 16-bit ones become float32 there."""
    if not widens(x):
        return x, *rows
    narrow = (torch.bfloat16, torch.float16)
    return tuple(t.float() if t is not None and t.dtype in narrow else t for t in (x, *rows))


def is_beyond_torch(weight: Tensor | None, bias: Tensor | None, dtype: torch.dtype) -> bool:
    """A bias wider than the input and no weight: PyTorch's backward pass raises."""
    return weight is None and bias is not None and bias.dtype is not dtype


def share_dtype(x: Tensor, dtype: torch.dtype, *rows: Tensor | None) -> bool:
    """Whether PyTorch's own norm of ``x`` in ``dtype`` sees weight and bias in that dtype."""
    return widens(x) or all(row is None or row.dtype is dtype for row in rows)


@dataclass(frozen=True)
class Crossover:
    """Elements of ``x`` from which the CPU kernel is faster than PyTorch's own op.

    Below, the cost of a Python call decides, not that of the work: about 5 us against 2 us for a
    forward pass, 30 us against 20 us with a backward pass. Measured on rows of 192 and 768 elements
    with 1 and with 2 threads, of which the slower beside PyTorch's decides (AMD Zen 5).

    Attributes:
        forward: When nothing requires a gradient, float32.
        forward_narrow: The same, 16-bit, where torch's kernel is slower.
        backward: With a backward pass, float32.
        backward_narrow: With a backward pass, 16-bit.
    """

    forward: int
    forward_narrow: int
    backward: int
    backward_narrow: int

    def decline(self, x: Tensor, *others: Tensor | None) -> str | None:
        """The reason to leave a call to PyTorch, or None.

        Args:
            x: The input.
            *others: What else may require a gradient, weight and bias last.
        """
        if others[-2] is None and is_beyond_torch(*others[-2:], x.dtype):
            return None
        # The sizes of a traced call are not known, and a compiled graph pays no Python.
        if torch.compiler.is_compiling() or not x.is_cpu:
            return None
        elements, is_wide = x.numel(), x.dtype is torch.float32
        if elements < (self.forward if is_wide else self.forward_narrow):
            return "PyTorch's own op is faster for so few elements"
        limit = self.backward if is_wide else self.backward_narrow
        if elements < limit and (
            (x.requires_grad and torch.is_grad_enabled()) or requires_grad(*others)
        ):
            return "PyTorch's own op with its gradient is faster for so few elements"
        return None


def never_decline(*_: Tensor | None) -> None:
    """For ops that PyTorch composes of several: the kernel is faster at every size."""


def rows_of(x: Tensor) -> int:
    return math.prod(x.shape[:-1])


def requires_grad(*tensors: Tensor | None) -> bool:
    if torch.is_grad_enabled():
        for tensor in tensors:
            if tensor is not None and tensor.requires_grad:
                return True
    return False
