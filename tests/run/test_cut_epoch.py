"""A training that ended within an epoch goes on with the rest of that epoch."""

import lightning
import pytest
from lightning.pytorch.callbacks import Timer

from dlplug.errors import RunError
from dlplug.run.folder import Run
from tests.run.interrupted import FOUR_EPOCHS, IMAGES, assert_same, fit, state


class Seen(lightning.Callback):
    """What each batch adds up to, with the epoch it is of."""

    def __init__(self):
        self.sums = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.sums.append((trainer.current_epoch, float(batch[0].double().sum())))


def seen(experiment, root, *overrides, **arguments):
    """The batches of a training, and its last checkpoint."""
    callback = Seen()
    result = fit(experiment(IMAGES, *overrides), root, callback, **arguments)
    return callback.sums, state(Run(result.run).last)


def steps(number):
    """A training of so many steps, whose schedule does not depend on them."""
    constant = ("scheduler", "{name: constant, warmup: 1}")
    return (constant, ("trainer.max_steps", str(number)), ("trainer.max_epochs", "-1"))


def accumulate(number):
    return ("trainer.accumulate_grad_batches", str(number))


SCHEDULE = ("callbacks", "[{name: accumulation_schedule, schedule: {1: 3}}]")
OFTEN = ("trainer.val_check_interval", "4")
ONE_WORKER = ("data.num_workers", "1")


@pytest.mark.parametrize(
    ("more", "first", "end"),
    [
        ((), 11, 20),
        ((ONE_WORKER,), 15, 20),
        ((), 16, 20),
        ((OFTEN,), 12, 20),
        ((accumulate(3),), 4, 8),
        ((accumulate(3),), 6, 8),
        ((SCHEDULE,), 9, 13),
    ],
    ids=[
        "within",
        "before the last",
        "at the end",
        "validated",
        "accumulated",
        "accumulated end",
        "accumulated by epoch",
    ],
)
def test_steps_go_on_with_the_same_batches(tmp_path, experiment, more, first, end):
    """Of an epoch of 8 batches that was cut, or was over, and of the next; with the same bits."""
    sums, whole = seen(experiment, tmp_path / "whole", *more, *steps(end))
    begun, _ = seen(experiment, tmp_path / "parts", *more, *steps(first))
    assert 0 < len(begun) < len(sums)
    rest, parts = seen(experiment, tmp_path / "parts", *more, *steps(end), resume="tiny")
    assert begun + rest == sums
    assert_same(whole, parts)


@pytest.mark.parametrize(
    ("more", "batches", "stepped"),
    [((), 15, 15), ((accumulate(3),), 10, 11), ((accumulate(3), OFTEN), 12, 14)],
    ids=["every batch", "accumulated", "accumulated and validated"],
)
def test_a_time_goes_on_with_the_same_batches(
    tmp_path, experiment, monkeypatch, more, batches, stepped
):
    """The end waits for the step of the batches whose gradients accumulate."""
    elapsed = []
    monkeypatch.setattr(Timer, "time_elapsed", lambda self, stage=None: len(elapsed[-1].sums))

    def timed(root, seconds, **arguments):
        elapsed.append(Seen())
        limit = ("trainer.max_time", f"{{seconds: {seconds}}}")
        run = fit(experiment(IMAGES, FOUR_EPOCHS, limit, *more), root, elapsed[-1], **arguments).run
        return elapsed[-1].sums, state(Run(run).last)

    sums, whole = timed(tmp_path / "whole", 100)
    begun, _ = timed(tmp_path / "parts", batches)
    assert len(sums) == 32 and len(begun) == stepped
    rest, parts = timed(tmp_path / "parts", 100, resume="tiny")
    assert begun + rest == sums
    assert_same(whole, parts)


def test_an_epoch_that_was_cut_is_not_finished(tmp_path, experiment):
    """So its run goes on with as many epochs as before, until their end."""
    two = ("trainer.max_epochs", "2")
    seen(experiment, tmp_path, *steps(13), two)
    rest, _ = seen(experiment, tmp_path, *steps(18), two, resume="tiny")
    assert len(rest) == 3
    with pytest.raises(RunError, match=r"has finished its 2 epochs, and trainer.max_epochs is 2"):
        seen(experiment, tmp_path, *steps(18), two, resume="tiny")
