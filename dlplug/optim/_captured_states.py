"""Loading a state after a CUDA graph has captured a step: into the tensors that the graph updates.

PyTorch's capturable optimizers replace those by others, and a graph that was captured before goes
on with the former ones.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from dlplug.errors import CheckpointError
from dlplug.optim._averaging import KEY

# What a state of plain AdamW has; storages of compact AdamW have more, made from it.
PLAIN = {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", KEY}


def check_places(optimizer: Optimizer, state_dict: Mapping[str, Any]) -> None:
    """Refuse a state from which not all tensors of the optimizer's own can be written.

    Raises:
        CheckpointError: A tensor is missing, or has another shape.
    """
    groups = zip(optimizer.param_groups, state_dict["param_groups"], strict=False)
    for group, theirs in groups:
        for param, number in zip(group["params"], theirs["params"], strict=False):
            given = state_dict["state"].get(number, {})
            for name, tensor in optimizer.state.get(param, {}).items():
                is_plain = name in PLAIN
                if is_plain and (name not in given or given[name].shape != tensor.shape):
                    raise CheckpointError(
                        "a CUDA graph has captured a step of this optimizer, and the state that is"
                        f" loaded has no {name!r} of shape {tuple(tensor.shape)} for parameter"
                        f" {number}",
                        fix="load it before the capture, or into a new optimizer",
                    )


def keep_places(
    optimizer: Optimizer,
    states: Mapping[Tensor, Mapping[str, Tensor]],
    groups: list[dict[str, Any]],
) -> None:
    """Copy what was loaded to the tensors that states, learning rates and seeds were before.

    Args:
        optimizer: Has just loaded a state.
        states: Of each parameter, before that.
        groups: Before that.
    """
    with torch.no_grad():
        for param, former in states.items():
            _keep(former, optimizer.state[param])
        for group, former in zip(optimizer.param_groups, groups, strict=True):
            _keep({name: former[name] for name in former.keys() & {"lr", "seed"}}, group)


def _keep(former: Mapping[str, Any], current: dict[str, Any]) -> None:
    for name, tensor in former.items():
        if isinstance(tensor, Tensor) and current[name] is not tensor:
            tensor.copy_(torch.as_tensor(current[name], dtype=tensor.dtype))
            current[name] = tensor
