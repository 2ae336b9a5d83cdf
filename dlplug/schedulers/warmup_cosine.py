"""Learning rate that rises linearly and then falls along half a cosine."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from dlplug.errors import InvalidValueError


def warmup_cosine(
    optimizer: Optimizer, total_steps: int, warmup: float = 0.05, min_ratio: float = 0.0
) -> LambdaLR:
    """Scale the learning rate by ``(k + 1) / W`` for the first W steps, then by a falling cosine.

    min_ratio + (1 - min_ratio) * (1 + cos(pi * (k - W) / (total_steps - W))) / 2 at step k >= W.

    Args:
        optimizer: Whose learning rates are scaled.
        total_steps: Optimizer steps of the whole training.
        warmup: W: a share of ``total_steps`` when below 1, else a number of steps.
        min_ratio: Share of the learning rate that is left at the end, in ``[0, 1]``.
    Returns:
        Scheduler to be stepped after every optimizer step.
    Raises:
        InvalidValueError: a value out of range, or a warm-up longer than the training.
    References: Loshchilov, Hutter 2017, arXiv:1608.03983, eq. 5 without restarts;
        Goyal et al. 2017, arXiv:1706.02677, section 2.2 (warm-up).
    """
    if not 0 <= min_ratio <= 1:
        raise InvalidValueError(f"scheduler: min_ratio = {min_ratio} is not in [0, 1]")
    steps = warmup_steps(warmup, total_steps)

    def ratio(step: int) -> float:
        if step < steps:
            return (step + 1) / steps
        done = min((step - steps) / max(total_steps - steps, 1), 1.0)
        return min_ratio + (1 - min_ratio) * (1 + math.cos(math.pi * done)) / 2

    return LambdaLR(optimizer, ratio)


def warmup_steps(warmup: float, total_steps: int) -> int:
    """Number of steps that ``warmup`` means: a share below 1, a count from 1 on."""
    if warmup < 0 or (warmup >= 1 and warmup != int(warmup)):
        raise InvalidValueError(
            f"scheduler: warmup = {warmup} is neither a share in [0, 1) nor a whole number of steps"
        )
    steps = round(warmup * total_steps) if warmup < 1 else int(warmup)
    if steps > total_steps:
        raise InvalidValueError(
            f"scheduler: a warmup of {steps} steps is longer than the {total_steps} steps of the"
            " training",
            fix="give a share below 1, such as 0.05, or train longer",
        )
    return steps
