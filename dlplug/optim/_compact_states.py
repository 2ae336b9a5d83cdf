"""States of compact AdamW beside those that plain AdamW would have."""

from collections.abc import Mapping

import torch
from torch import Tensor

from dlplug.ops._memory_layout import PLAIN_TYPES
from dlplug.ops.compact_adamw import compact_state
from dlplug.ops.fallback.compact_adamw import read, side_by_side, write
from dlplug.optim._averaging import KEY
from dlplug.optim._local_tensors import local

PLAIN_NAMES = ("exp_avg", "exp_avg_sq")


def local_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the op keeps of a parameter's state."""
    if KEY not in state and all([type(tensor) in PLAIN_TYPES for tensor in state.values()]):
        return state
    return {name: local(tensor) for name, tensor in state.items() if name != KEY}


def loaded(param: Tensor, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A copy beside the parameter; every state keeps its dtype, and the step its device."""
    return {
        name: tensor.clone() if name == "step" else tensor.to(param.device, copy=True)
        for name, tensor in given.items()
    }


def from_plain(param: Tensor, given: Mapping[str, Tensor], storage: str) -> dict[str, Tensor]:
    """The state that stores m and v of plain AdamW."""
    state = compact_state(param, storage)
    dense = torch.empty_like(param).copy_(param.detach())
    flat = [
        torch.empty_like(param, dtype=torch.float32)
        .copy_(given[name])
        .as_strided((param.numel(),), (1,))
        for name in PLAIN_NAMES
    ]
    write(dense, state, storage, (read(dense, state, storage)[0], *flat))
    state["step"].fill_(float(given["step"]))
    return state


def values_of(param: Tensor, state: dict[str, Tensor], storage: str) -> dict[str, Tensor]:
    """Weight, m and v in float32, of the parameter's shape, as plain AdamW would hold them."""
    dense, own = side_by_side(param.detach(), state)
    values = read(dense, own, storage)
    return {
        name: torch.empty_like(param, dtype=torch.float32).copy_(
            value.as_strided(dense.shape, dense.stride())
        )
        for name, value in zip(("param", *PLAIN_NAMES), values, strict=True)
    }
