"""Tensors whose storage was let go (``untyped_storage().resize_(0)``): none of its bytes is there.

Sharded training does that to parameters between their uses. A view of such a storage still has an
address, that of its first element in a storage that begins at 0.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dlplug.errors import OpError
from dlplug.ops._memory_layout import PLAIN_TYPES, addresses_of

# Bytes. No storage is so long, and Linux places the memory of programs above this address. So a
# tensor that begins above it has memory, and only those that begin below have to be looked at.
LONGEST = 2**40


def is_released(tensor: Tensor) -> bool:
    """Whether a strided tensor has elements, but no memory for them."""
    begin = tensor.storage_offset() * tensor.itemsize
    return tensor.data_ptr() == begin and tensor.numel() != 0


def have_memory(tensors: Sequence[Tensor], addresses: Sequence[int]) -> bool:
    """Whether none of these strided tensors, with their addresses, was released."""
    return min(addresses, default=LONGEST) >= LONGEST or not any(map(is_released, tensors))


def refuse_released(function: str, name: str, tensors: Sequence[Tensor]) -> None:
    """Raise before PyTorch's code reads what is not there, which ends the process.

    Raises:
        OpError: A plain tensor's memory was released.
    """
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return  # neither a tracer nor a transform knows memory
    plain = [type(t) in PLAIN_TYPES and t.layout is torch.strided for t in tensors]
    if all(plain) and have_memory(tensors, addresses_of(tensors)):
        return
    for i, tensor in enumerate(tensors):
        # Autograd's zeros and those on meta have none either, and PyTorch does not look for it.
        is_without = tensor.is_meta or tensor._is_zerotensor()
        if plain[i] and not is_without and is_released(tensor):
            raise OpError(
                f"{function}: the memory of {name}[{i}], {tensor.dtype} of shape"
                f" {tuple(tensor.shape)}, was released",
                fix="call it before untyped_storage().resize_(0), or give the storage its size and"
                " values back",
            )
