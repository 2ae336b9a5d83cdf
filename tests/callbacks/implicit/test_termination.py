"""Termination: SIGTERM ends a training between two batches, and only then."""

import os
import signal
import time
from unittest.mock import Mock

import lightning
import pytest
from lightning.pytorch.utilities.exceptions import SIGTERMException

from dlplug.callbacks.implicit.termination import SIGNALS, Termination
from dlplug.run.quiet import quiet


class Kill(lightning.Callback):
    """Send a signal to this process in one hook, and count what is still done."""

    def __init__(self, hook, signum=signal.SIGTERM):
        self.signum = signum
        self.batches = 0
        self.validated = 0
        self.was_sent = False
        setattr(self, hook, self.send)

    def send(self, trainer, *args):
        if trainer.sanity_checking:
            return
        if not self.was_sent and (trainer.global_step == 5 or not trainer.training):
            self.was_sent = True
            os.kill(os.getpid(), self.signum)

    def on_train_batch_end(self, *args):
        self.batches += 1

    def on_validation_batch_end(self, trainer, *args):
        self.validated += not trainer.sanity_checking


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("hook", "batches", "validated"),
    [
        # Five batches and two validation batches an epoch: noticed at the end of the sixth batch,
        # and when it comes within a validation, after that and one more batch.
        ("on_train_batch_start", 6, 2),
        ("on_validation_batch_start", 6, 2),
    ],
)
def test_it_ends_after_the_batch(task, fit, capfd, hook, batches, validated, signum):
    """A batch is finished, a validation too; what happens is said."""
    kill, termination = Kill(hook, signum), Termination()
    with pytest.raises(SIGTERMException):
        fit(task(), kill, termination)
    assert (kill.batches, kill.validated) == (batches, validated)
    assert termination.received is signum
    assert f"{signum.name}: saving after this step" in capfd.readouterr().err


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(signum):
    """Whatever the process is doing: here, waiting for ever."""
    child = os.fork()
    if child == 0:
        termination = Termination()
        termination.on_train_start(Mock(), None)
        os.kill(os.getpid(), signum)
        os.kill(os.getpid(), signum)
        while True:
            time.sleep(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signum


def test_the_signal_has_its_old_effect_afterwards(task, fit):
    """After a training as after an interrupted one."""
    before = [signal.getsignal(signum) for signum in SIGNALS]
    fit(task(), Termination())
    assert [signal.getsignal(signum) for signum in SIGNALS] == before
    with pytest.raises(SIGTERMException):
        fit(task(), Kill("on_train_batch_start"), Termination())
    assert [signal.getsignal(signum) for signum in SIGNALS] == before


@pytest.mark.parametrize("hook", ["on_validation_batch_start", None])
def test_a_signal_with_no_batch_left_is_late(task, fit, hook):
    """The training is complete; the attribute tells what follows it not to begin."""
    termination = Termination()
    callbacks = [Kill(hook)] if hook else []
    fit(task(), *callbacks, termination, max_epochs=1)
    assert termination.is_late is bool(hook)


class Early(lightning.Callback):
    """Send SIGTERM within the sanity check."""

    batches = 0

    def on_validation_batch_start(self, trainer, *args):
        if trainer.sanity_checking:
            os.kill(os.getpid(), signal.SIGTERM)
            self.on_validation_batch_start = lambda *args: None

    def on_train_batch_end(self, *args):
        self.batches += 1


def test_a_signal_in_the_sanity_check_is_noted(task, fit):
    """The training ends after its first batch."""
    early = Early()
    with pytest.raises(SIGTERMException):
        fit(task(), early, Termination())
    assert early.batches == 1


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_ends_a_test_with_its_code(task, fit, signum):
    """There is nothing to save; the old handlers are there again."""
    before = [signal.getsignal(s) for s in SIGNALS]
    trainer = fit(task(), Termination())
    trainer.callbacks.append(KillInTest(signum))
    with quiet(), pytest.raises(SystemExit) as exit:
        trainer.test(trainer.lightning_module, datamodule=trainer.datamodule, verbose=False)
    assert exit.value.code == 128 + signum
    assert [signal.getsignal(s) for s in SIGNALS] == before


class KillInTest(lightning.Callback):
    """Send a signal in the first batch of a test."""

    def __init__(self, signum):
        self.signum = signum

    def on_test_batch_start(self, *args):
        os.kill(os.getpid(), self.signum)


@pytest.mark.parametrize("verb", ["validate", "test", "predict"])
def test_a_signal_before_the_first_batch_ends_it_with_its_code(task, fit, monkeypatch, verb):
    """While the loader is built, Lightning's handler takes a note that nobody would look at."""
    trainer = fit(task(), Termination())
    before = [signal.getsignal(s) for s in SIGNALS]
    name = {"validate": "val", "test": "test", "predict": "predict"}[verb] + "_dataloader"
    build, noted = getattr(trainer.datamodule, name), []

    def killed():
        os.kill(os.getpid(), signal.SIGTERM)
        noted.append(trainer.received_sigterm)
        return build()

    monkeypatch.setattr(trainer.datamodule, name, killed)
    with quiet(), pytest.raises(SystemExit) as exit:
        getattr(trainer, verb)(trainer.lightning_module, datamodule=trainer.datamodule)
    assert noted == [True] and exit.value.code == 143
    assert [signal.getsignal(s) for s in SIGNALS] == before
