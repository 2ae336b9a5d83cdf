"""Whether the AdamW kernel can take one parameter, and why not."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dlplug.ops._averages import average_dtype
from dlplug.ops._memory_layout import DTYPE_CODES, PLAIN_TYPES, is_dense, is_laid_out_as
from dlplug.ops._released import is_released

CPU = torch.device("cpu")


@dataclass
class Row:
    """One parameter with all that belongs to it; without an average where none is kept.

    All of it must be on ``device``, but for a step on the CPU.
    """

    param: Tensor
    grad: Tensor
    states: Sequence[Tensor]
    step: Tensor
    average: Tensor | None
    device: torch.device = CPU
    has_device_step: bool = False

    @property
    def written(self) -> list[Tensor]:
        """Every tensor, but a step on the CPU, that an update changes."""
        written = [self.param, *self.states, *([] if self.average is None else [self.average])]
        return [*written, self.step] if self.has_device_step else written

    def refusal(self) -> str | None:
        """Why the kernel cannot take it, or None."""
        if why := self.refusal_of_layout():
            return why
        if self.param.dtype not in DTYPE_CODES:
            return f"{self.param.dtype} is not float32, bfloat16 or float16"
        if self.step.dtype is not torch.float32:
            return f"its step is {self.step.dtype}, not float32"
        return None

    def refusal_of_layout(self) -> str | None:
        """Why no fused kernel for the device can take it, or None."""
        param = self.param
        for tensor in (*self.written, self.step):
            is_beside = self.has_device_step or tensor is not self.step
            if why := _refuse_kind(tensor, self.device if is_beside else CPU):
                return why
            if not torch.compiler.is_compiling() and tensor.is_neg():
                return "it is a view of complex numbers"
        if not param.is_floating_point():
            return f"{param.dtype} is not floating point"
        if not is_dense(param):
            return f"its strides {param.stride()} leave gaps or overlap"
        for state in self.states:
            if state.dtype is not param.dtype or state.shape != param.shape:
                return "a state has another dtype or shape"
            if not is_laid_out_as(state, param):
                return "a state has other strides"
        return None if self.average is None else _refuse_average(self.average, param)


def _refuse_average(average: Tensor, param: Tensor) -> str | None:
    if average.dtype is not average_dtype(param) or average.shape != param.shape:
        return "its average has another dtype or shape"
    return None if is_laid_out_as(average, param) else "its average has other strides"


def refusal_of_grad(param: Tensor, grad: Tensor) -> str | None:
    """Why the kernel cannot take a parameter's gradient, or None."""
    if why := _refuse_kind(grad, param.device):
        return f"its gradient: {why}"
    if grad.dtype is not param.dtype or grad.shape != param.shape:
        return "its gradient has another dtype or shape"
    return None


def _refuse_kind(tensor: Tensor, device: torch.device) -> str | None:
    if type(tensor) not in PLAIN_TYPES:
        return f"{type(tensor).__name__} is a tensor subclass"
    if tensor.layout is not torch.strided:
        return f"the layout is {tensor.layout}"
    if tensor.device != device:
        return f"a tensor is on {tensor.device}"
    if torch.compiler.is_compiling():
        return None  # a tracer knows no memory
    if is_released(tensor):
        return "its memory was released"
    return None
