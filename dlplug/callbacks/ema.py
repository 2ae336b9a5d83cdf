"""Exponential moving average of the weights."""

import logging
from typing import Any

from dlplug.callbacks.network.fused_average import FusedAverage, fused_average
from dlplug.callbacks.network.weight_average import WeightAverage
from dlplug.errors import InvalidValueError

logger = logging.getLogger("dlplug.callbacks")


class EMA(WeightAverage):
    """Validate, keep and test an average of the weights instead of the last ones.

    average = d * average + (1 - d) * weights after every ``every_n_steps``-th optimizer step, with
    d = min(decay, (1 + n) / (10 + n)) at update n, so that the first weights are soon forgotten.
    Floating-point buffers are averaged too, others are copied. A checkpoint's ``state_dict`` is
    the average, and its key ``ema`` holds the weights that the training continues with.

    An optimizer that can (``adamw``, ``compact_adamw``, on the CPU) moves the averages of its
    parameters in the pass of its step when every step is one of the average: the same numbers
    without a second pass. The logger ``dlplug.callbacks`` tells which way is taken.

    Lightning 2.6.6 has such a callback as well; there a test after the training takes the last
    weights instead of the average, a bfloat16 average stops moving, and sharding is not supported.

    Args:
        decay: Share of the average that is kept at each update, in ``[0, 1)``.
        every_n_steps: Optimizer steps between two updates; >= 1.
    Raises:
        InvalidValueError: a value out of range.
    References: Polyak, Juditsky 1992; the rising decay is TensorFlow's ``num_updates`` rule.
    """

    key = "ema"

    def __init__(self, decay: float = 0.999, every_n_steps: int = 1):
        if not 0 <= decay < 1 or every_n_steps < 1:
            raise InvalidValueError(
                f"ema: decay = {decay}, every_n_steps = {every_n_steps};"
                " decay must be in [0, 1) and every_n_steps 1 or more"
            )
        super().__init__()
        self.decay = decay
        self.every_n_steps = every_n_steps
        self.num_updates = 0
        self._last_step = 0
        self._fused: FusedAverage | None = None

    def setup(self, trainer, pl_module, stage: str) -> None:
        """Forget the updates of a training before."""
        if stage == "fit":
            self.num_updates = 0

    def on_train_start(self, trainer, pl_module) -> None:
        """Start from the weights as they are, or continue the checkpoint's average."""
        self.begin(pl_module)
        super().on_train_start(trainer, pl_module)
        self._last_step = trainer.global_step
        found = "it has fewer updates than steps"
        if self.every_n_steps == 1:
            found = fused_average(trainer, pl_module, self.average)
        self._fused = None if isinstance(found, str) else found
        if trainer.is_global_zero:
            self._tell(found)

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        """Let the step move what it can."""
        if self._fused is not None:
            self._fused.begin_step(self._share(self.num_updates + 1))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        """Update after an optimizer step, not after a batch that only accumulates."""
        step = trainer.global_step
        if step == self._last_step or step % self.every_n_steps:
            return
        self._last_step = step
        self.num_updates += 1
        names = None if self._fused is None else self._fused.names_left()
        if names is None or names:
            self.mix(pl_module, self._share(self.num_updates), names)

    def on_train_end(self, trainer, pl_module) -> None:
        """Leave the average in the model."""
        super().on_train_end(trainer, pl_module)
        self._fused = None

    def on_exception(self, trainer, pl_module, exception: BaseException) -> None:
        """Take back what a step that failed was to move."""
        if self._fused is not None:
            self._fused.names_left()
            self._fused = None
        super().on_exception(trainer, pl_module, exception)

    def state_dict(self) -> dict[str, Any]:
        """Number of updates; the weights are in `on_save_checkpoint`."""
        return {"num_updates": self.num_updates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the rise of the decay."""
        self.num_updates = state_dict["num_updates"]

    def _share(self, update: int) -> float:
        """Of the weights in the average at an update, counted from 1."""
        return 1 - min(self.decay, (1 + update) / (10 + update))

    def _tell(self, found: FusedAverage | str) -> None:
        if isinstance(found, str):
            logger.debug("ema: a pass of its own after each update: %s", found)
        else:
            logger.info("ema: %d averages are moved by the optimizer's step", len(found))
