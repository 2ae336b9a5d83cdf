"""accumulation_schedule: steps by epoch, and what schedulers are told of them."""

import functools

import pytest

from dlplug.callbacks.accumulation_schedule import AccumulationSchedule
from dlplug.callbacks.checkpoint import Checkpoint
from dlplug.errors import InvalidValueError
from dlplug.schedulers.linear import linear
from dlplug.tasks.optimization import total_steps


def scheduled(task):
    module = task()
    module.make_scheduler = functools.partial(linear, warmup=0)
    return module


def test_schedulers_know_the_number_of_steps(task, fit):
    """5 batches in epochs of 1, 1, 2 and 5 batches a step: 5 + 5 + 3 + 1 steps down to 0."""
    trainer = fit(scheduled(task), AccumulationSchedule({2: 2, 3: 5}), max_epochs=4)
    assert trainer.global_step == 14 == total_steps(trainer)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)


def test_max_steps_ends_the_schedule_too(task, fit):
    """Seven of the steps."""
    trainer = fit(scheduled(task), AccumulationSchedule({2: 2}), max_epochs=4, max_steps=7)
    assert trainer.global_step == 7 == total_steps(trainer)


def test_a_resumed_training_accumulates_as_its_epoch_says(task, fit):
    """Two epochs and two more take as many steps as four."""
    keep = Checkpoint()
    fit(scheduled(task), AccumulationSchedule({2: 2, 3: 5}), keep, max_epochs=2)
    trainer = fit(
        scheduled(task),
        AccumulationSchedule({2: 2, 3: 5}),
        Checkpoint(),
        max_epochs=4,
        ckpt_path=keep.last_model_path,
    )
    assert trainer.global_step == 14


@pytest.mark.parametrize("schedule", [{}, {0: 0}, {-1: 2}, {0: 1.5}, {"0": 2}])
def test_values_out_of_range_are_refused(schedule):
    """The message holds the value."""
    with pytest.raises(InvalidValueError) as error:
        AccumulationSchedule(schedule)
    assert f"schedule = {schedule}" in str(error.value)


def test_the_trainers_own_accumulation_is_refused(task, fit):
    """Either of them says how much."""
    with pytest.raises(InvalidValueError, match="accumulate_grad_batches = 2 is set as well"):
        fit(task(), AccumulationSchedule({0: 2}), accumulate_grad_batches=2)
