"""The parts of distributed tensors that lie on this process."""

import sys
from collections.abc import Sequence

from torch import Tensor

from dlplug.ops._memory_layout import PLAIN_TYPES


def local_lists(lists: tuple[list[Tensor], ...]) -> tuple[list[Tensor], ...]:
    """Replace ``DTensor`` parameters, gradients and states by this process's shards.

    An elementwise update of the shards is the update of the whole, if all tensors of a parameter
    are split in the same way; the rows of others are left as they are. Replicated tensors are
    updated by each process alike.

    Args:
        lists: One list per kind of tensor, parameters first and steps, which are not split, last;
            an empty one if the parameters have no such tensors.
    """
    if set(map(type, lists[0])) <= PLAIN_TYPES:
        return lists
    # Whoever has a DTensor has imported its module; nobody else should pay for that.
    module = sys.modules.get("torch.distributed.tensor")
    if module is None:
        return lists
    local = tuple(list(tensors) for tensors in lists)
    for i, param in enumerate(lists[0]):
        tensors = [kind[i] for kind in lists[:-1] if kind]
        if all(_is_split_as(tensor, param, module.DTensor) for tensor in tensors):
            for kind in local[:-1]:
                if kind:
                    kind[i] = kind[i].to_local()
    return local


def redistribute_gradients(params: Sequence[Tensor]) -> None:
    """Split gradients as their parameters are; summands of several processes are added up.

    Args:
        params: Plain or distributed, each with a gradient.
    """
    if set(map(type, params)) <= PLAIN_TYPES:
        return
    module = sys.modules.get("torch.distributed.tensor")
    if module is None:
        return
    for param in params:
        grad = param.grad
        are_distributed = type(grad) is module.DTensor and type(param) is module.DTensor
        if are_distributed and not _is_split_as(grad, param, module.DTensor):
            param.grad = grad.redistribute(param.device_mesh, param.placements)


def local(tensor: Tensor) -> Tensor:
    """One tensor: its shard on this process if it is distributed, else itself."""
    is_plain = type(tensor) in PLAIN_TYPES or not hasattr(tensor, "to_local")
    return tensor if is_plain else tensor.to_local()


def is_distributed(tensor: Tensor) -> bool:
    """Whether processes have a tensor together."""
    return type(tensor) not in PLAIN_TYPES and hasattr(tensor, "placements")


def distributed_as(param: Tensor, part: Tensor) -> Tensor:
    """The tensor of the parameter's shape of which this process has that part; itself if plain."""
    if not is_distributed(param):
        return part
    return type(param).from_local(
        part,
        param.device_mesh,
        param.placements,
        run_check=False,
        shape=param.shape,
        stride=param.stride(),
    )


def _is_split_as(tensor: Tensor, param: Tensor, dtensor: type) -> bool:
    return (
        type(tensor) is dtensor
        and type(param) is dtensor
        and tensor.placements == param.placements
        and tensor.device_mesh == param.device_mesh
    )
