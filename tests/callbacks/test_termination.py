"""Termination: SIGTERM ends a training between two batches, and only then."""

import os
import signal

import lightning
import pytest
from lightning.pytorch.utilities.exceptions import SIGTERMException

from dlplug.callbacks.termination import Termination


class Kill(lightning.Callback):
    """Send SIGTERM to this process in one hook, and count what is still done."""

    def __init__(self, hook):
        self.batches = 0
        self.validated = 0
        self.was_sent = False
        setattr(self, hook, self.send)

    def send(self, trainer, *args):
        if trainer.sanity_checking:
            return
        if not self.was_sent and (trainer.global_step == 5 or not trainer.training):
            self.was_sent = True
            os.kill(os.getpid(), signal.SIGTERM)

    def on_train_batch_end(self, *args):
        self.batches += 1

    def on_validation_batch_end(self, trainer, *args):
        self.validated += not trainer.sanity_checking


@pytest.mark.parametrize(
    ("hook", "batches", "validated"),
    [
        # Five batches and two validation batches an epoch: noticed at the end of the sixth batch,
        # and when it comes within a validation, after that and one more batch.
        ("on_train_batch_start", 6, 2),
        ("on_validation_batch_start", 6, 2),
    ],
)
def test_it_ends_after_the_batch(task, fit, hook, batches, validated):
    """A batch is finished, a validation too."""
    kill = Kill(hook)
    with pytest.raises(SIGTERMException):
        fit(task(), kill, Termination())
    assert (kill.batches, kill.validated) == (batches, validated)


def test_the_signal_has_its_old_effect_afterwards(task, fit):
    """After a training as after an interrupted one."""
    before = signal.getsignal(signal.SIGTERM)
    fit(task(), Termination())
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(SIGTERMException):
        fit(task(), Kill("on_train_batch_start"), Termination())
    assert signal.getsignal(signal.SIGTERM) is before
