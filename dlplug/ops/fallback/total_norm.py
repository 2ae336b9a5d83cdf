"""The norm of several tensors in plain PyTorch: what the op computes, and its tests' reference."""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor
from torch.autograd import forward_ad


def total_norm(tensors: Sequence[Tensor]) -> Tensor:
    """Euclidean norm of all elements together; arguments as in :func:`dlplug.ops.total_norm`.

    The norm of the tensors' norms, each at least in float32.
    """
    dtype = reduce(torch.promote_types, {tensor.dtype for tensor in tensors}, torch.float32)
    filled = [tensor for tensor in tensors if tensor.numel()] or list(tensors)
    # Of all at once PyTorch 2.13 has no rule for vmap, and a wrong one for forward mode.
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        norms = [torch.linalg.vector_norm(tensor, dtype=dtype) for tensor in filled]
    else:
        norms = torch._foreach_norm(filled, 2, dtype=dtype)
    return torch.linalg.vector_norm(torch.stack([norm.to(norms[0].device) for norm in norms]))
