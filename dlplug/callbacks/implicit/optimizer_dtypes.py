"""Let the states of optimizers keep their types when a training goes on."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.distributed.tensor import DTensor

KEY = "optimizer_parameter_dtypes"


class OptimizerDtypes(Callback):
    """Give the states of a resumed optimizer the types, and the bits, that they were saved with.

    torch 2.13 casts every state to the type of its parameter when it loads: averages in float32
    beside bfloat16 weights, or states in 8 bits, come back as something else. Where the parameter
    itself has another type than before (another ``trainer.precision``), that cast is right.
    """

    def __init__(self):
        self._loaded: tuple[list, list] | None = None

    def on_save_checkpoint(self, trainer, pl_module, checkpoint: dict[str, Any]) -> None:
        """Note the types of the parameters, in each optimizer's order."""
        checkpoint[KEY] = [[p.dtype for p in _parameters(o)] for o in trainer.optimizers]

    def on_load_checkpoint(self, trainer, pl_module, checkpoint: dict[str, Any]) -> None:
        """Keep the states until the optimizers have loaded them."""
        if KEY in checkpoint and "optimizer_states" in checkpoint:
            self._loaded = checkpoint[KEY], list(map(_states, checkpoint["optimizer_states"]))

    def on_train_start(self, trainer, pl_module) -> None:
        """Put back what was cast."""
        dtypes, states = self._loaded or ([], [])
        for optimizer, before, saved in zip(trainer.optimizers, dtypes, states, strict=False):
            for parameter, dtype, state in zip(_parameters(optimizer), before, saved, strict=False):
                if state and parameter.dtype == dtype:
                    _put_back(optimizer.state[parameter], state)
        self._loaded = None


def _parameters(optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _states(content: Mapping[str, Any]) -> list[dict[str, Any] | None]:
    """Of the parameters in the order of their groups, whatever numbers the file gives them."""
    numbers = [number for group in content["param_groups"] for number in group["params"]]
    return [content["state"].get(number) for number in numbers]


def _put_back(state: dict[str, Any], saved: dict[str, Any]) -> None:
    for name, value in saved.items():
        ours = state.get(name)
        if not isinstance(value, Tensor) or not isinstance(ours, Tensor):
            continue
        if ours.dtype != value.dtype and isinstance(ours, DTensor) == isinstance(value, DTensor):
            state[name] = value.to(ours.device, copy=True)
