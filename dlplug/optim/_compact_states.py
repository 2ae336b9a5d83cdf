"""States of compact AdamW, made from those of plain AdamW and turned into them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from dlplug.errors import CheckpointError, InvalidValueError
from dlplug.ops._memory_layout import PLAIN_TYPES
from dlplug.ops.compact_adamw import compact_state
from dlplug.ops.fallback.compact_adamw import read, side_by_side, write
from dlplug.optim._averaging import KEY
from dlplug.optim._gradient_norm import groups_with_parts
from dlplug.optim._local_tensors import distributed_as, is_distributed, local

PLAIN_NAMES = ("exp_avg", "exp_avg_sq")


def local_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A parameter's state as the op takes it: without the average, and this process's shards."""
    if KEY not in state and all([type(tensor) in PLAIN_TYPES for tensor in state.values()]):
        return state
    return {name: local(tensor) for name, tensor in state.items() if name != KEY}


def loaded(param: Tensor, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A copy on the parameter's device; every state keeps its dtype, and the step its device."""
    return {
        name: tensor.clone() if name == "step" else tensor.to(param.device, copy=True)
        for name, tensor in given.items()
    }


def first_state(param: Tensor, storage: str) -> dict[str, Tensor]:
    """The states before the first step, distributed as the parameter is.

    Raises:
        InvalidValueError: The parameter is sharded, and the storage has no shards.
    """
    if storage == "8bit" and groups_with_parts(param) != ():
        raise InvalidValueError(
            "optimizer compact_adamw: storage '8bit' has blocks of the whole parameter, and"
            " this one is sharded",
            fix="take another storage, or strategy ddp",
        )
    return compact_state(param, storage)


@torch.no_grad()
def from_plain(param: Tensor, given: Mapping[str, Tensor], storage: str) -> dict[str, Tensor]:
    """The state that stores m and v of plain AdamW.

    Raises:
        CheckpointError: One of them is missing, or is not of the parameter's shape.
    """
    state = first_state(param, storage)
    part, own = local(param.detach()), local_state(state)
    dense = torch.empty_like(part).copy_(part)
    flat = [
        torch.empty_like(part, dtype=torch.float32)
        .copy_(_beside(param, name, given))
        .as_strided((part.numel(),), (1,))
        for name in PLAIN_NAMES
    ]
    write(dense, own, storage, (read(dense, own, storage)[0], *flat))
    state["step"].fill_(float(given["step"]))
    return state


def _beside(param: Tensor, name: str, given: Mapping[str, Tensor]) -> Tensor:
    """The part of a given state that belongs to the parameter's shard on this process."""
    tensor = given.get(name)
    if tensor is None or tensor.shape != param.shape:
        has = "no" if tensor is None else f"shape {tuple(tensor.shape)} of"
        raise CheckpointError(
            f"the optimizer's state has {has} {name} for a parameter of shape {tuple(param.shape)}",
            fix="load the state of an optimizer of the same model, with its groups in this order",
        )
    if is_distributed(tensor) != is_distributed(param):
        ours, theirs = (
            "is distributed" if is_distributed(t) else "lies whole on a process"
            for t in (param, tensor)
        )
        raise CheckpointError(
            f"the optimizer's state has an {name} that {theirs}, for a parameter that {ours}",
            fix="load it by torch.distributed.checkpoint.state_dict.set_optimizer_state_dict",
        )
    if is_distributed(param) and tensor.placements != param.placements:
        tensor = tensor.redistribute(param.device_mesh, param.placements)
    return local(tensor)


@torch.no_grad()
def values_of(param: Tensor, state: dict[str, Tensor], storage: str) -> dict[str, Tensor]:
    """Weight, m and v in float32, of the parameter's shape, as plain AdamW would hold them.

    Distributed as the parameter is.
    """
    part = local(param.detach())
    dense, own = side_by_side(part, local_state(state))
    values = [
        torch.empty_like(part, dtype=torch.float32).copy_(
            value.as_strided(dense.shape, dense.stride())
        )
        for value in read(dense, own, storage)
    ]
    return {
        name: distributed_as(param, value)
        for name, value in zip(("param", *PLAIN_NAMES), values, strict=True)
    }
