"""How tensors lie in memory, as far as a kernel that is given addresses must know."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

# As in csrc/common/types.h.
DTYPE_CODES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
PLAIN_TYPES = {Tensor, torch.nn.Parameter}


def addresses_of(tensors: Iterable[Tensor]) -> list[int]:
    """Where the elements of each begin; map() takes half of the time of a comprehension."""
    return list(map(torch._C.TensorBase.data_ptr, tensors))


def is_laid_out_as(tensor: Tensor, param: Tensor) -> bool:
    """Whether a tensor of the same shape has its elements at the same places."""
    return (tensor.is_contiguous() and param.is_contiguous()) or tensor.stride() == param.stride()


def is_dense(tensor: Tensor) -> bool:
    """Whether the elements fill a block of memory, in any order of axes."""
    if tensor.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


def sharing_gradients(grads: Sequence[Tensor]) -> set[int]:
    """Which of these plain tensors of any strides lie where another does, or between its elements.

    Others (sparse ones, subclasses) share nothing.
    """
    return overlapping(
        (grad.data_ptr(), grad.data_ptr() + _reach(grad) * grad.itemsize, i)
        for i, grad in enumerate(grads)
        if type(grad) in PLAIN_TYPES and grad.layout is torch.strided and grad.numel()
    )


def _reach(tensor: Tensor) -> int:
    """Elements of memory from the first to the last."""
    if tensor.is_contiguous():
        return tensor.numel()
    return 1 + sum(
        (size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True)
    )


def overlapping(blocks: Iterable[tuple[int, int, int]]) -> set[int]:
    """Owners of blocks of memory, each its start, end and owner, that overlap."""
    found = set()
    last, owner = 0, -1  # where the blocks so far end, and whose that is
    for start, end, i in sorted(blocks):
        if start < last:
            found |= {i, owner}
        if end > last:
            last, owner = end, i
    return found
