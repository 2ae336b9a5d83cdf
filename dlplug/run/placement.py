"""A checkpoint's tensors, each process taking what it holds of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset
from torch.optim import Optimizer

from dlplug.storage.pieces import Box, Pieces, replaced

OPTIMIZERS = "optimizer_states"


def placed(
    content: Mapping[str, Any], module: nn.Module, optimizers: Sequence[Optimizer]
) -> dict[str, Any]:
    """Give a checkpoint's tensors the places that the present weights and states have.

    What has the name and the shape of a sharded weight (the weights, averages of them), or belongs
    to one in the optimizer's state, becomes a `DTensor` like it: this process takes its own
    elements from the file, and nothing is sent. The rest is as it was, in the CPU's memory.

    Args:
        content: As `open_checkpoint` returns it, of any number of processes.
        module: With the weights as they are sharded now.
        optimizers: Of it; without them their states are left out.
    """
    weights = module.state_dict()
    parameters = [
        _parameters(saved, optimizer)
        for saved, optimizer in zip(content.get(OPTIMIZERS, ()), optimizers, strict=False)
    ]

    def change(path: tuple, value: Any) -> Any:
        if not isinstance(value, (Tensor, Pieces)):
            return value
        if path[0] == OPTIMIZERS:
            target = parameters[path[1]].get(path[3]) if path[2] == "state" else None
        else:
            target = weights.get(path[-1])
        if isinstance(target, DTensor) and tuple(target.shape) == tuple(value.shape):
            return _local(value, target)
        return value.whole() if isinstance(value, Pieces) else value

    kept = content if optimizers else {k: v for k, v in content.items() if k != OPTIMIZERS}
    return replaced(dict(kept), change)


def box_of(tensor: DTensor) -> Box:
    """Which part of the whole lies on this process."""
    sizes, offsets = compute_local_shape_and_global_offset(
        tensor.shape, tensor.device_mesh, tensor.placements
    )
    # An empty shard is said to begin behind the end.
    return Box(tuple(offsets), tuple(sizes))


def _local(value: Tensor | Pieces, target: DTensor) -> DTensor:
    box = box_of(target)
    local = value.take(box) if isinstance(value, Pieces) else value[box.slices].clone()
    return DTensor.from_local(
        local.to(target.device),
        target.device_mesh,
        target.placements,
        run_check=False,
        shape=target.shape,
        stride=target.stride(),
    )


def _parameters(saved: Mapping[str, Any], optimizer: Optimizer) -> dict[Any, torch.Tensor]:
    """The parameters by the numbers that a state gives them, as the optimizer will match them."""
    numbers = [number for group in saved["param_groups"] for number in group["params"]]
    ours = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return dict(zip(numbers, ours, strict=False))
