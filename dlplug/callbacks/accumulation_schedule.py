"""Larger steps as the training goes on."""

from lightning.pytorch.callbacks import GradientAccumulationScheduler

from dlplug.errors import InvalidValueError


class AccumulationSchedule(GradientAccumulationScheduler):
    """Make each step of the optimizer from so many batches, by epoch.

    ``{0: 1, 5: 4}`` steps after each batch, from the sixth epoch on after every fourth. Schedulers
    get the number of steps that results. A constant number is ``trainer.accumulate_grad_batches``.

    Args:
        schedule: Batches for one step, by the epoch (from 0) in which it begins to hold; one batch
            before the first of them.
    Raises:
        InvalidValueError: a value out of range; at the start of a training, the trainer accumulates
            as well.
    References: Smith et al. 2018, arXiv:1711.00489.
    """

    def __init__(self, schedule: dict[int, int]):
        ok = all(
            type(epoch) is int and type(batches) is int and epoch >= 0 and batches >= 1
            for epoch, batches in schedule.items()
        )
        if not schedule or not ok:
            raise InvalidValueError(
                f"accumulation_schedule: schedule = {schedule}",
                known="batches, 1 or more, by epoch, 0 or more, such as {0: 1, 5: 4}",
            )
        super().__init__(dict(schedule))

    def setup(self, trainer, pl_module, stage: str) -> None:
        """One of the two says how much is accumulated."""
        if stage == "fit" and trainer.accumulate_grad_batches != 1:
            raise InvalidValueError(
                "accumulation_schedule: trainer.accumulate_grad_batches ="
                f" {trainer.accumulate_grad_batches} is set as well",
                fix="leave one of them out",
            )
