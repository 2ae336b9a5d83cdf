"""Learning rate that falls by a factor every few epochs."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import StepLR

from dlplug.errors import InvalidValueError


def step(optimizer: Optimizer, step_size: int = 10, gamma: float = 0.1) -> StepLR:
    """Multiply the learning rate by ``gamma`` after every ``step_size`` epochs.

    Args:
        optimizer: Whose learning rates are scaled.
        step_size: Epochs between two falls; >= 1.
        gamma: Factor of each fall; > 0.
    Returns:
        Scheduler to be stepped after every epoch.
    Raises:
        InvalidValueError: a value out of range.
    """
    if step_size < 1 or gamma <= 0:
        raise InvalidValueError(
            f"scheduler: step_size = {step_size}, gamma = {gamma}; step_size must be 1 or more"
            " epochs and gamma above 0"
        )
    return StepLR(optimizer, step_size=step_size, gamma=gamma)
