"""Log the size of the gradients."""

import lightning
from lightning.pytorch.callbacks import Callback

from dlplug.callbacks.network.blocks import blocks_of, check_every, log_step, norm, read


class GradientNorms(Callback):
    """Log the norm of the whole gradient and of each block's, before any clipping.

    ``gradient_norm`` and ``gradient_norm/<block>`` go to the run's metrics and the loggers. A block
    is everything under one number of a parameter's name, such as ``blocks.3``.

    Args:
        every_n_steps: Optimizer steps between two looks; >= 1. Other steps cost nothing.
        per_block: Whether to log the blocks.
    Raises:
        InvalidValueError: a value out of range.
    """

    def __init__(self, every_n_steps: int = 50, per_block: bool = True):
        check_every("gradient_norms", every_n_steps)
        self.every_n_steps = every_n_steps
        self.per_block = per_block

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, optimizer
    ) -> None:
        """Look, when it is time."""
        if trainer.global_step % self.every_n_steps:
            return
        parameters = dict(pl_module.named_parameters())
        norms = {
            f"gradient_norm/{block}": norm(parameters[name].grad for name in names)
            for block, names in blocks_of(pl_module).items()
        }
        values = {"gradient_norm": norm(norms.values())} | (norms if self.per_block else {})
        log_step(trainer, read(values), trainer.global_step)
