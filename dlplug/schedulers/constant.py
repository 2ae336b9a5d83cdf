"""Learning rate that rises linearly and then stays."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from dlplug.schedulers.warmup_cosine import warmup_steps


def constant(optimizer: Optimizer, total_steps: int, warmup: float = 0.05) -> LambdaLR:
    """Scale the learning rate by ``(k + 1) / W`` for the first W steps, then leave it.

    Args:
        optimizer: Whose learning rates are scaled.
        total_steps: Optimizer steps of the whole training.
        warmup: W: a share of ``total_steps`` when below 1, else a number of steps.
    Returns:
        Scheduler to be stepped after every optimizer step.
    Raises:
        InvalidValueError: ``warmup`` is out of range, or longer than the training.
    """
    steps = warmup_steps(warmup, total_steps)
    return LambdaLR(optimizer, lambda step: (step + 1) / steps if step < steps else 1.0)
