"""Exponential moving average of the weights."""

from typing import Any

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from dlplug.errors import InvalidValueError

KEY = "ema"


class EMA(Callback):
    """Validate, keep and test an average of the weights instead of the last ones.

    average = d * average + (1 - d) * weights after every ``every_n_steps``-th optimizer step, with
    d = min(decay, (1 + n) / (10 + n)) at update n, so that the first weights are soon forgotten.
    Floating-point buffers are averaged too, others are copied. A checkpoint's ``state_dict`` is
    the average, and its key ``ema`` holds the weights that the training continues with.

    Lightning 2.6.6 has such a callback as well; there a test after the training takes the last
    weights instead of the average, a bfloat16 average stops moving, and sharding is not supported.

    Args:
        decay: Share of the average that is kept at each update, in ``[0, 1)``.
        every_n_steps: Optimizer steps between two updates; >= 1.
    Raises:
        InvalidValueError: a value out of range.
    References: Polyak, Juditsky 1992; the rising decay is TensorFlow's ``num_updates`` rule.
    """

    def __init__(self, decay: float = 0.999, every_n_steps: int = 1):
        if not 0 <= decay < 1 or every_n_steps < 1:
            raise InvalidValueError(
                f"ema: decay = {decay}, every_n_steps = {every_n_steps};"
                " decay must be in [0, 1) and every_n_steps 1 or more"
            )
        self.decay = decay
        self.every_n_steps = every_n_steps
        self.num_updates = 0
        self._last_step = 0
        self._average: dict[str, Tensor] | None = None
        self._trained: dict[str, Tensor] | None = None
        self._loaded: tuple[dict[str, Tensor], dict[str, Tensor]] | None = None

    def on_train_start(self, trainer, pl_module) -> None:
        """Start from the weights as they are, or continue the checkpoint's average."""
        weights = pl_module.state_dict()
        self._average = {name: _precise(tensor) for name, tensor in weights.items()}
        if self._loaded is not None:
            average, trained = self._loaded
            _copy(average, self._average)
            _copy(trained, weights)
            self._loaded = None
        self._last_step = trainer.global_step

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        """Update after an optimizer step, not after a batch that only accumulates."""
        step = trainer.global_step
        if step == self._last_step or step % self.every_n_steps:
            return
        self._last_step = step
        self.num_updates += 1
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        with torch.no_grad():
            for name, tensor in pl_module.state_dict().items():
                average = self._average[name]
                if average.is_floating_point():
                    average.lerp_(tensor.to(average.dtype), 1 - decay)
                else:
                    average.copy_(tensor)

    def on_validation_epoch_start(self, trainer, pl_module) -> None:
        """Put the average in the place of the weights."""
        if self._average is not None:
            weights = pl_module.state_dict()
            self._trained = {name: tensor.clone() for name, tensor in weights.items()}
            _copy(self._average, weights)

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
        _copy(self._average, pl_module.state_dict())
        self._average = None

    def state_dict(self) -> dict[str, Any]:
        """Number of updates; the weights are in `on_save_checkpoint`."""
        return {"num_updates": self.num_updates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the rise of the decay."""
        self.num_updates = state_dict["num_updates"]

    def on_save_checkpoint(self, trainer, pl_module, checkpoint: dict[str, Any]) -> None:
        """Make the average the checkpoint's weights, and keep the weights beside it."""
        if self._average is None:
            return
        # Every process takes part in gathering shards; one without weights to write keeps none.
        average = {name: _whole(tensor) for name, tensor in self._average.items()}
        trained = checkpoint["state_dict"]
        checkpoint[KEY] = {"trained": trained}
        checkpoint["state_dict"] = {name: average[name] for name in trained}

    def on_load_checkpoint(self, trainer, pl_module, checkpoint: dict[str, Any]) -> None:
        """Continue with both; anything but a training uses the average, already loaded."""
        if trainer.state.fn == TrainerFn.FITTING and KEY in checkpoint:
            average = checkpoint.get("state_dict")
            if average is None:  # a sharded strategy has moved it into the model already
                average = {name: _whole(t) for name, t in pl_module.state_dict().items()}
            self._loaded = average, checkpoint[KEY]["trained"]


def _precise(tensor: Tensor) -> Tensor:
    """A copy in float32 at least: a bfloat16 average would lose updates below 1/256 of it."""
    is_half = tensor.is_floating_point() and tensor.element_size() < 4
    return tensor.detach().to(torch.float32 if is_half else tensor.dtype, copy=True)


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
