"""What averages of the weights share: where they are used, saved and continued."""

from collections.abc import Collection
from typing import Any, ClassVar

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from dlplug.ops._averages import average_dtype
from dlplug.ops.fallback.adamw import move_averages


class WeightAverage(Callback):
    """Validate, keep and test an average of the weights; a subclass says how it is made.

    A checkpoint's ``state_dict`` is the average, and its key ``key`` holds the weights that the
    training continues with. A subclass calls `begin` when there is something to average, and
    changes ``average`` after steps of the optimizer.
    """

    key: ClassVar[str]
    """Of the trained weights in a checkpoint."""

    def __init__(self):
        self.average: dict[str, Tensor] | None = None
        self._trained: dict[str, Tensor] | None = None
        self._loaded: tuple[dict[str, Tensor], dict[str, Tensor]] | None = None

    def begin(self, pl_module) -> None:
        """Let the average be the weights as they are, in float32 at least."""
        weights = pl_module.state_dict()
        self.average = {name: _precise(tensor) for name, tensor in weights.items()}

    def mix(self, pl_module, share: float, names: Collection[str] | None = None) -> None:
        """average = average + share * (weights - average); what is not floating-point is copied.

        Args:
            pl_module: Has the weights.
            share: Of the weights, in [0, 1].
            names: Of the tensors to average; None for all.
        """
        with torch.no_grad():
            for name, tensor in pl_module.state_dict().items():
                if names is not None and name not in names:
                    continue
                average = self.average[name]
                if average.is_floating_point():
                    move_averages([average], [tensor], share)
                else:
                    average.copy_(tensor)

    def on_train_start(self, trainer, pl_module) -> None:
        """Continue the checkpoint's average, if there is one."""
        if self._loaded is not None:
            average, trained = self._loaded
            self.begin(pl_module)
            _copy(average, self.average)
            _copy(trained, pl_module.state_dict())
            self._loaded = None

    def on_validation_epoch_start(self, trainer, pl_module) -> None:
        """Put the average in the place of the weights."""
        if self.average is not None:
            weights = pl_module.state_dict()
            self._trained = {name: tensor.clone() for name, tensor in weights.items()}
            _copy(self.average, weights)

    def on_validation_epoch_end(self, trainer, pl_module) -> None:
        """Put the weights back."""
        if self._trained is not None:
            _copy(self._trained, pl_module.state_dict())
            self._trained = None

    def on_exception(self, trainer, pl_module, exception: BaseException) -> None:
        """Put the weights back, in case it happened during a validation."""
        self.on_validation_epoch_end(trainer, pl_module)

    def on_train_end(self, trainer, pl_module) -> None:
        """Leave the average in the model."""
        if self.average is not None:
            _copy(self.average, pl_module.state_dict())
            self.average = None

    def on_save_checkpoint(self, trainer, pl_module, checkpoint: dict[str, Any]) -> None:
        """Make the average the checkpoint's weights, and keep the weights beside it."""
        if self.average is None:
            return
        trained = checkpoint["state_dict"]
        average = self.average
        if not any(isinstance(tensor, DTensor) for tensor in trained.values()):
            # Every process takes part in gathering; one without weights to write keeps none.
            average = {name: _whole(tensor) for name, tensor in average.items()}
        checkpoint[self.key] = {"trained": trained}
        checkpoint["state_dict"] = {name: average[name] for name in trained}

    def on_load_checkpoint(self, trainer, pl_module, checkpoint: dict[str, Any]) -> None:
        """Continue with both; anything but a training uses the average, already loaded."""
        if trainer.state.fn == TrainerFn.FITTING and self.key in checkpoint:
            average = checkpoint.get("state_dict")
            if average is None:  # a sharded strategy has moved it into the model already
                average = {name: _whole(t) for name, t in pl_module.state_dict().items()}
            self._loaded = average, checkpoint[self.key]["trained"]


def _precise(tensor: Tensor) -> Tensor:
    """A copy in float32 at least: a bfloat16 average would lose updates below 1/256 of it."""
    dtype = average_dtype(tensor) if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to(dtype, copy=True)


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor().cpu() if isinstance(tensor, DTensor) else tensor


def _copy(source: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in target.items():
            value = source[name]
            if isinstance(tensor, DTensor) and not isinstance(value, DTensor):
                value = value.to(tensor.device, tensor.dtype)
                value = distribute_tensor(value, tensor.device_mesh, tensor.placements)
            tensor.copy_(value)
