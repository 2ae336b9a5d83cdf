"""Learning rate that rises and falls once, while the momentum does the opposite."""

import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR

from dlplug.errors import InvalidValueError

ANNEALING = ("cos", "linear")


class OneCycle(OneCycleLR):
    """torch's scheduler, of which a resumed training may be longer than the first one."""

    def get_lr(self) -> list[float]:
        """The rates of the present step; after the last one they stay."""
        present, self.last_epoch = self.last_epoch, min(self.last_epoch, self.total_steps - 1)
        try:
            return super().get_lr()
        finally:
            self.last_epoch = present

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue to count; the length of the cycle is the config's."""
        kept = {"total_steps": self.total_steps, "_schedule_phases": self._schedule_phases}
        super().load_state_dict(state_dict | kept)


def one_cycle(
    optimizer: Optimizer,
    total_steps: int,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    anneal_strategy: str = "cos",
    cycle_momentum: bool = True,
    base_momentum: float = 0.85,
    max_momentum: float = 0.95,
) -> OneCycleLR:
    """Rise from ``lr / div_factor`` to ``lr``, then fall to that start over ``final_div_factor``.

    Args:
        optimizer: Whose learning rates are the highest ones.
        total_steps: Optimizer steps of the whole training.
        pct_start: Share of the steps in which the rate rises, in ``(0, 1)``.
        div_factor: The highest rate by the first one, > 0.
        final_div_factor: The first rate by the last one, > 0.
        anneal_strategy: ``cos`` or ``linear``.
        cycle_momentum: Whether the momentum, or Adam's beta1, moves against the rate.
        base_momentum: While the rate is highest, in ``[0, 1)``.
        max_momentum: At both ends; not below ``base_momentum``, and below 1.
    Returns:
        Scheduler to be stepped after every optimizer step.
    Raises:
        InvalidValueError: a value out of range, or an optimizer without momentum.
    References: Smith, Topin 2018, arXiv:1708.07120.
    """
    if not 0 < pct_start < 1:
        raise InvalidValueError(f"scheduler: pct_start = {pct_start} is not a share in (0, 1)")
    if div_factor <= 0 or final_div_factor <= 0:
        raise InvalidValueError(
            f"scheduler: div_factor = {div_factor}, final_div_factor = {final_div_factor};"
            " both must be above 0"
        )
    if anneal_strategy not in ANNEALING:
        raise InvalidValueError(
            f"scheduler: anneal_strategy = {anneal_strategy!r}", known=", ".join(ANNEALING)
        )
    if not 0 <= base_momentum <= max_momentum < 1:
        raise InvalidValueError(
            f"scheduler: base_momentum = {base_momentum}, max_momentum = {max_momentum};"
            " 0 <= base_momentum <= max_momentum < 1 is needed"
        )
    if cycle_momentum and not {"momentum", "betas"} & optimizer.defaults.keys():
        raise InvalidValueError(
            f"scheduler: {type(optimizer).__name__} has no momentum",
            fix="set scheduler.cycle_momentum to false",
        )
    # torch would divide 0 by 0 in a rise of a single step.
    is_single = pct_start * total_steps == 1
    return OneCycle(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=total_steps,
        pct_start=math.nextafter(pct_start, 1) if is_single else pct_start,
        anneal_strategy=anneal_strategy,
        cycle_momentum=cycle_momentum,
        base_momentum=base_momentum,
        max_momentum=max_momentum,
        div_factor=div_factor,
        final_div_factor=final_div_factor,
    )
