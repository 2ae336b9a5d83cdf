"""The four norm ops as cases of one kind, and the rule by which their results are judged."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dlplug import ops
from dlplug.ops.fallback import add_layer_norm, add_rms_norm, layer_norm, rms_norm

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
# Widths around the vector widths 4, 8 and 16, around the 64 columns of one unrolled loop, odd ones;
# row counts around the groups of 2 and 4 rows and around the 16 rows of a block.
SHAPES = [
    (3,), (1, 1), (5, 2), (2, 3), (3, 4), (4, 5), (5, 7), (6, 8), (7, 9), (8, 15), (9, 16), (2, 17),
    (15, 31), (16, 32), (17, 33), (33, 63), (2, 3, 64), (3, 65), (5, 127), (70, 129), (3, 1000),
    (6, 1100),
]  # fmt: skip
EMPTY = [(0,), (0, 4), (3, 0), (2, 0, 5)]
EPS = 1e-5

needs_kernels = pytest.mark.skipif(
    not ops.isas(), reason="the CPU kernels are not compiled: see python -m dlplug doctor"
)
each_isa = pytest.mark.parametrize("isa", ops.isas() or [None])
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype)[6:])


@dataclass(frozen=True)
class Norm:
    """One op.

    Attributes:
        ours: The public function, called with ``(*inputs, EPS)``.
        torch: The same of PyTorch's own ops; also returns what ``ours`` returns.
        reference: ``dlplug/ops/fallback``'s.
        kernel: Name of the forward schema.
        has_residual, has_bias: Which inputs there are: x, [residual], weight, [bias].
    """

    ours: Callable
    torch: Callable
    reference: Callable
    kernel: str
    has_residual: bool
    has_bias: bool

    def __str__(self) -> str:
        return self.ours.__name__

    def draw(self, shape, dtype=torch.float32, residual_dtype=None, seed=0) -> list[Tensor]:
        """Inputs with other scales and offsets than 0 and 1."""
        numbers = torch.Generator().manual_seed(seed + sum(shape))

        def normal(shape, scale, offset, dtype):
            drawn = torch.randn(shape, generator=numbers, dtype=torch.float64)
            return (drawn * scale + offset).to(dtype)

        stream = residual_dtype or dtype
        inputs = [normal(shape, 2, 0.5, dtype)]
        if self.has_residual:
            inputs.append(normal(shape, 1, -0.25, stream))
        inputs.append(normal(shape[-1:], 0.5, 1, stream))
        if self.has_bias:
            inputs.append(normal(shape[-1:], 1, 0, stream))
        return inputs


def _torch_layer_norm(x, weight=None, bias=None, eps=EPS):
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


def _torch_rms_norm(x, weight=None, eps=EPS):
    return F.rms_norm(x, x.shape[-1:], weight, eps)


def _torch_add_layer_norm(x, residual, weight=None, bias=None, eps=EPS):
    h = x + residual
    return _torch_layer_norm(h, weight, bias, eps), h


def _torch_add_rms_norm(x, residual, weight=None, eps=EPS):
    h = x + residual
    return _torch_rms_norm(h, weight, eps), h


LAYER_NORM = Norm(
    ops.layer_norm, _torch_layer_norm, layer_norm.layer_norm, "layer_norm_forward", False, True
)
RMS_NORM = Norm(ops.rms_norm, _torch_rms_norm, rms_norm.rms_norm, "rms_norm_forward", False, False)
ADD_LAYER_NORM = Norm(
    ops.add_layer_norm,
    _torch_add_layer_norm,
    add_layer_norm.add_layer_norm,
    "add_layer_norm_forward",
    True,
    True,
)
ADD_RMS_NORM = Norm(
    ops.add_rms_norm,
    _torch_add_rms_norm,
    add_rms_norm.add_rms_norm,
    "add_rms_norm_forward",
    True,
    False,
)


def outputs_of(result: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)


def outputs_and_gradients(function: Callable, inputs: list[Tensor], seed=1, **kwargs):
    """Every output, then the gradient of every input for drawn output gradients."""
    leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    outputs = outputs_of(function(*leaves, eps=EPS, **kwargs))
    grads = drawn_gradients(outputs, seed)
    return [*(output.detach() for output in outputs), *torch.autograd.grad(outputs, leaves, grads)]


def drawn_gradients(outputs: tuple[Tensor, ...], seed=1) -> list[Tensor]:
    """One per output. The same numbers for every dtype: those that bfloat16 can hold."""
    numbers = torch.Generator().manual_seed(seed)
    grads = []
    for output in outputs:
        drawn = torch.randn(output.shape, generator=numbers, dtype=torch.float64)
        grads.append(drawn.to(torch.bfloat16).to(output))
    return grads


def assert_as_good_as_torch(norm: Norm, shapes, *dtypes, device="cpu", **kwargs) -> None:
    """error(ours, oracle) <= 2 x error(PyTorch in the same dtype, oracle) + 1 ulp.

    The oracle is the reference in float64 on the very same inputs. Errors count in units of the
    tensor's largest number (at least 1: narrow rows have gradients that cancel to almost 0), and
    the largest error over all shapes decides: on a tensor of three elements PyTorch's own error is
    a matter of luck.
    """
    found = {}
    for shape in shapes:
        inputs = [tensor.to(device) for tensor in norm.draw(shape, *dtypes)]
        oracle = outputs_and_gradients(norm.reference, [t.double() for t in inputs], **kwargs)
        peer = outputs_and_gradients(norm.torch, inputs)
        ours = outputs_and_gradients(norm.ours, inputs, **kwargs)
        for index, (mine, theirs, true) in enumerate(zip(ours, peer, oracle, strict=True)):
            assert mine.dtype == theirs.dtype and mine.shape == theirs.shape, (index, shape)
            if mine.numel():
                scale = max(1.0, true.abs().max().item())
                errors = found.setdefault((index, mine.dtype), [])
                errors.append((error(mine, true) / scale, error(theirs, true) / scale, shape))
    for (index, dtype), errors in found.items():
        mine, _, shape = max(errors)
        limit = 2 * max(theirs for _, theirs, _ in errors) + torch.finfo(dtype).eps
        assert mine <= limit, (index, dtype, shape, mine, limit)


def error(actual: Tensor, true: Tensor) -> float:
    """The largest difference; infinite for NaN, which no comparison of sizes would find."""
    return (actual.double() - true).abs().nan_to_num(nan=torch.inf).max().item()
