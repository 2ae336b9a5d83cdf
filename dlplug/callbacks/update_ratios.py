"""Log how far each step moves the weights, compared with their size."""

import sys

import lightning
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from dlplug.callbacks.network.blocks import blocks_of, check_every, log_step, norm, read
from dlplug.errors import InvalidValueError


class UpdateRatios(Callback):
    """Log ``update_ratio/<block>``: the norm of a step's update divided by the weights' norm.

    About 1e-3 is healthy; much more is a learning rate that is too high, much less one that is too
    low, or a block that does not learn. At the end of the training a line on standard error names
    the blocks whose last ratio is outside ``low`` to ``high``.

    Args:
        every_n_steps: Optimizer steps between two looks; >= 1. A look copies the weights; other
            steps cost nothing.
        low: Ratio below which a block is named.
        high: Ratio above which it is.
    Raises:
        InvalidValueError: a value out of range.
    References: Karpathy, CS231n notes, "Ratio of weights:updates".
    """

    def __init__(self, every_n_steps: int = 50, low: float = 1e-5, high: float = 1e-2):
        check_every("update_ratios", every_n_steps)
        if not 0 < low < high:
            raise InvalidValueError(
                f"update_ratios: low = {low:g}, high = {high:g}; 0 < low < high must hold"
            )
        self.every_n_steps = every_n_steps
        self.low = low
        self.high = high
        self.last: dict[str, float] = {}
        self._before: dict[str, Tensor] | None = None
        self._step = 0

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, optimizer
    ) -> None:
        """Copy the weights, when it is time."""
        if trainer.global_step % self.every_n_steps == 0:
            self._step = trainer.global_step
            self._before = {n: p.detach().clone() for n, p in pl_module.named_parameters()}

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        """Compare."""
        if self._before is None:
            return
        after, before, self._before = dict(pl_module.named_parameters()), self._before, None
        values = {}
        for block, names in blocks_of(pl_module).items():
            update = norm(after[name].detach() - before[name] for name in names)
            # A block that is all zeros at first has no ratio: the update is the weight.
            values[block] = update / norm(after[name] for name in names).clamp_min(1e-30)
        self.last = read(values)
        named = {f"update_ratio/{block}": ratio for block, ratio in self.last.items()}
        log_step(trainer, named, self._step)

    def on_train_end(self, trainer: lightning.Trainer, pl_module) -> None:
        """Name what stands out."""
        if not trainer.is_global_zero:
            return
        for word, blocks in (
            (f"above {self.high:g}", [b for b, r in self.last.items() if r > self.high]),
            (f"below {self.low:g}", [b for b, r in self.last.items() if r < self.low]),
        ):
            if blocks:
                listed = ", ".join(f"{block} ({self.last[block]:.1e})" for block in blocks)
                print(
                    f"update_ratios: {word} in step {self._step + 1}: {listed}; about 1e-3 is"
                    " healthy",
                    file=sys.stderr,
                )
