"""Learning rate that rises, stays, and falls at the end."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from dlplug.errors import InvalidValueError
from dlplug.schedulers.warmup_cosine import warmup_steps

SHAPES = ("sqrt", "linear")


def wsd(
    optimizer: Optimizer,
    total_steps: int,
    warmup: float = 0.05,
    decay: float = 0.2,
    shape: str = "sqrt",
    min_ratio: float = 0.0,
) -> LambdaLR:
    """Warm-up, stable, decay: the rate falls only in the last N steps.

    With x = (k - (total_steps - N)) / N, the part of the decay that is done before step k:
    min_ratio + (1 - min_ratio) * (1 - sqrt(x)) for the shape ``sqrt``, (1 - x) for ``linear``.

    Args:
        optimizer: Whose learning rates are scaled.
        total_steps: Optimizer steps of the whole training.
        warmup: A share of ``total_steps`` when below 1, else a number of steps.
        decay: N: a share of ``total_steps`` when below 1, else a number of steps.
        shape: ``sqrt`` (the reference's best) or ``linear``.
        min_ratio: Share of the learning rate that is left at the end, in ``[0, 1]``.
    Returns:
        Scheduler to be stepped after every optimizer step.
    Raises:
        InvalidValueError: a value out of range, or warm-up and decay longer than the training.
    References: Hägele et al. 2024, arXiv:2405.18392, equations 1 and 2.
    """
    if not 0 <= min_ratio <= 1:
        raise InvalidValueError(f"scheduler: min_ratio = {min_ratio} is not in [0, 1]")
    if shape not in SHAPES:
        raise InvalidValueError(f"scheduler: shape = {shape!r}", known=", ".join(SHAPES))
    if decay < 0 or (decay >= 1 and decay != int(decay)):
        raise InvalidValueError(
            f"scheduler: decay = {decay} is neither a share in [0, 1) nor a whole number of steps"
        )
    rising = warmup_steps(warmup, total_steps)
    falling = round(decay * total_steps) if decay < 1 else int(decay)
    if rising + falling > total_steps:
        raise InvalidValueError(
            f"scheduler: {rising} steps of warmup and {falling} of decay are more than the"
            f" {total_steps} steps of the training",
            fix="give shares below 1, or train longer",
        )

    def ratio(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        done = min(max(step - (total_steps - falling), 0) / max(falling, 1), 1.0)
        return min_ratio + (1 - min_ratio) * (1 - (math.sqrt(done) if shape == "sqrt" else done))

    return LambdaLR(optimizer, ratio)
