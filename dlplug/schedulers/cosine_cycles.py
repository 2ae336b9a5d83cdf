"""Learning rate that falls along half a cosine several times over."""

import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from dlplug.errors import InvalidValueError


class CosineCycles(LambdaLR):
    """torch's scheduler, which also knows how many steps a cycle has."""

    steps_per_cycle: int

    def state_dict(self) -> dict[str, Any]:
        """What was counted; the length of a cycle follows from the config."""
        state = super().state_dict()
        return {key: value for key, value in state.items() if key != "steps_per_cycle"}


def cosine_cycles(optimizer: Optimizer, total_steps: int, cycles: int = 5) -> CosineCycles:
    """Start again at the full rate in each of several cycles, for the callback snapshot_ensemble.

    (1 + cos(pi * (k mod N) / N)) / 2 at step k, with cycles of N = ceil(total_steps / cycles).

    Args:
        optimizer: Whose learning rates are scaled.
        total_steps: Optimizer steps of the whole training.
        cycles: How often the rate falls, from 1 to ``total_steps``.
    Returns:
        Scheduler to be stepped after every optimizer step; ``scheduler.steps_per_cycle`` is N.
    Raises:
        InvalidValueError: ``cycles`` is out of range.
    References: Huang et al. 2017, arXiv:1704.00109, equation 2.
    """
    if not 1 <= cycles <= total_steps:
        raise InvalidValueError(
            f"scheduler: cycles = {cycles} is not from 1 to the {total_steps} steps of the training"
        )
    length = math.ceil(total_steps / cycles)
    scheduler = CosineCycles(
        optimizer, lambda step: (1 + math.cos(math.pi * (step % length) / length)) / 2
    )
    scheduler.steps_per_cycle = length
    return scheduler
