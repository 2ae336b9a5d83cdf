"""Learning rate that rises and then falls along straight lines."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from dlplug.errors import InvalidValueError
from dlplug.schedulers.warmup_cosine import warmup_steps


def linear(
    optimizer: Optimizer, total_steps: int, warmup: float = 0.05, min_ratio: float = 0.0
) -> LambdaLR:
    """Scale the learning rate by ``(k + 1) / W`` for the first W steps, then by a falling line.

    1 - (1 - min_ratio) * (k - W) / (total_steps - W) at step k >= W.

    Args:
        optimizer: Whose learning rates are scaled.
        total_steps: Optimizer steps of the whole training.
        warmup: W: a share of ``total_steps`` when below 1, else a number of steps.
        min_ratio: Share of the learning rate that is left at the end, in ``[0, 1]``.
    Returns:
        Scheduler to be stepped after every optimizer step.
    Raises:
        InvalidValueError: a value out of range, or a warm-up longer than the training.
    References: Devlin et al. 2019, arXiv:1810.04805, appendix A.2.
    """
    if not 0 <= min_ratio <= 1:
        raise InvalidValueError(f"scheduler: min_ratio = {min_ratio} is not in [0, 1]")
    steps = warmup_steps(warmup, total_steps)

    def ratio(step: int) -> float:
        if step < steps:
            return (step + 1) / steps
        return 1 - (1 - min_ratio) * min((step - steps) / max(total_steps - steps, 1), 1.0)

    return LambdaLR(optimizer, ratio)
