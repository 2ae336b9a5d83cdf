"""An average of the weights that the optimizer moves in the pass of its own step."""

from collections.abc import Mapping

import lightning
import torch
from torch import Tensor

from dlplug.ops import _library
from dlplug.ops._memory_layout import DTYPE_CODES
from dlplug.optim._averaging import Averaging


class FusedAverage:
    """The part of an average that an optimizer takes with it, which saves a pass over the weights.

    What the step leaves (a parameter without a gradient, all of them when it is skipped) is told
    afterwards, so that the numbers are those of a pass after the step.

    Args:
        optimizer: Moves averages in its step.
        names: Of the tensors it can move, by ``id`` of the parameter.
        average: All averages, by name.
    """

    def __init__(
        self, optimizer: Averaging, names: Mapping[int, str], average: Mapping[str, Tensor]
    ):
        self._optimizer, self._names = optimizer, names
        self._tensors = {key: average[name] for key, name in names.items()}
        self._others = average.keys() - set(names.values())

    def __len__(self) -> int:
        return len(self._names)

    def begin_step(self, weight: float) -> None:
        """Let the next step move the averages.

        Args:
            weight: Of the weights in the average.
        """
        self._optimizer.average_in_next_step(self._tensors, weight)

    def names_left(self) -> set[str]:
        """After the step: what it has not moved."""
        left = self._optimizer.take_back_averages()
        return self._others | {self._names[key] for key in left}


def fused_average(
    trainer: lightning.Trainer, pl_module: lightning.LightningModule, average: Mapping[str, Tensor]
) -> FusedAverage | str:
    """What of the average the training's optimizer can move; or why nothing.

    Args:
        trainer: At the start of its training.
        pl_module: Whose weights are averaged.
        average: By name in its ``state_dict``.
    """
    if len(trainer.optimizers) != 1 or not pl_module.automatic_optimization:
        return "the task steps its optimizers itself, or has not one"
    optimizer = trainer.optimizers[0]
    if not isinstance(optimizer, Averaging):
        return f"{type(optimizer).__name__} cannot"
    if why := optimizer.why_not_averaging():
        return why
    if not _library.STATUS["cpu"].is_loaded:
        return "there are no compiled kernels"
    params = {id(param) for group in optimizer.param_groups for param in group["params"]}
    names = {}
    for name, tensor in pl_module.state_dict(keep_vars=True).items():
        is_fit = tensor.device.type == "cpu" and tensor.dtype in DTYPE_CODES
        if id(tensor) in params and is_fit and tensor.layout is torch.strided:
            names.setdefault(id(tensor), name)  # a shared one has several names
    if not names:
        return "none of its parameters is averaged on the CPU"
    return FusedAverage(optimizer, names, average)
