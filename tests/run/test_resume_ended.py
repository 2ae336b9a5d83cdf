"""What is left to do for a training that was ended, stopped or interrupted in its last steps."""

import shutil

import numpy as np
import pytest

from dlplug.errors import RunError
from dlplug.run.folder import Run
from tests.run.interrupted import (
    FOUR_EPOCHS,
    FailAtEnd,
    FailInTest,
    Interrupt,
    InterruptValidation,
    assert_same,
    fit,
    rows,
    state,
    terminate,
)


def test_a_run_that_ended_in_its_test_is_tested(tmp_path, experiment):
    """After the last step there is nothing to train, and the test is still to come."""
    steps = (("trainer.max_steps", "5"), ("trainer.max_epochs", "-1"))
    with pytest.raises(RuntimeError):
        fit(experiment(*steps), tmp_path, FailInTest())
    run = Run.find("tiny", tmp_path)
    assert run.status["tests"] == 0 and state(run.last)["global_step"] == 5
    assert fit(experiment(*steps), tmp_path, resume="auto").tests == 1
    assert state(run.last)["global_step"] == 5


@pytest.mark.parametrize(
    ("more", "callback"),
    [
        ((), Interrupt(11, terminate)),
        ((), FailInTest()),
        ((("trainer.accumulate_grad_batches", "2"),), FailInTest()),
    ],
    ids=["told in the last step", "in the test", "in the test, accumulated"],
)
def test_a_test_after_a_resume_is_of_the_last_step(tmp_path, experiment, more, callback):
    """Also where an epoch is cut, and no step is left that would count."""
    overrides = (("trainer.max_steps", "11"), ("trainer.max_epochs", "-1"), *more)
    whole = fit(experiment(*overrides), tmp_path / "whole").run
    with pytest.raises((SystemExit, RuntimeError)):
        fit(experiment(*overrides), tmp_path / "parts", callback)
    run = Run.find("tiny", tmp_path / "parts")
    assert state(run.last)["global_step"] == 11 and run.status["tests"] == 0
    fit(experiment(*overrides), tmp_path / "parts", resume="auto")
    assert rows(run.path) == rows(whole)
    assert rows(whole)[-1]["step"] == 11 and "test_loss" in rows(whole)[-1]


def test_what_comes_at_the_end_comes_after_a_resume(tmp_path, experiment):
    """A run that ended behind its last checkpoint has nothing left to train, but to write."""
    overrides = (
        ("scheduler", "{name: cosine_cycles, cycles: 3}"),
        ("callbacks", "[snapshot_ensemble, weight_histograms]"),
    )
    whole = Run(fit(experiment(*overrides), tmp_path / "whole").run)
    with pytest.raises(RuntimeError, match="on fire"):
        fit(experiment(*overrides), tmp_path / "parts", FailAtEnd())
    run = Run.find("tiny", tmp_path / "parts")
    assert state(run.last)["global_step"] == state(whole.last)["global_step"]
    written = ("weight_histograms.npz", "weight_histograms.png", "checkpoints/snapshot-3.ckpt")
    assert not any((run.path / name).exists() for name in written)
    result = fit(experiment(*overrides), tmp_path / "parts", resume="auto")
    assert (result.run, result.tests) == (run.path, 1)
    assert_same(*(state(each.path / written[2]) for each in (whole, run)))
    ours, theirs = (np.load(each.path / written[0]) for each in (run, whole))
    assert ours.files == theirs.files
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours.files)
    assert all((run.path / name).exists() for name in written)


STOPPING = {
    "dlplug": "{{name: early_stopping, patience: {}, min_delta: 10.0}}",
    "Lightning": "{{class_path: lightning.pytorch.callbacks.EarlyStopping,"
    " init_args: {{monitor: val_loss, patience: {}, min_delta: 10.0}}}}",
}


@pytest.mark.parametrize("whose", STOPPING)
@pytest.mark.parametrize(
    ("callback", "error", "more", "step"),
    [
        (InterruptValidation, SystemExit, (), 16),
        (InterruptValidation, SystemExit, (("trainer.val_check_interval", "3"),), 6),
        (FailInTest, RuntimeError, (), 16),
    ],
    ids=["in the last validation", "in one within an epoch", "in the test"],
)
def test_a_stopped_run_does_not_train_on(tmp_path, experiment, whose, callback, error, more, step):
    """The second validation stops it; after an interruption there is the test to come."""
    stopping = ("callbacks", f"[{STOPPING[whose].format(1)}]")
    overrides = (FOUR_EPOCHS, stopping, *more)
    whole = fit(experiment(*overrides), tmp_path / "whole")
    with pytest.raises(error):
        fit(experiment(*overrides), tmp_path / "parts", callback())
    run = Run.find("tiny", tmp_path / "parts")
    assert state(run.last)["global_step"] == step and run.status["tests"] == 0
    assert fit(experiment(*overrides), tmp_path / "parts", resume="auto").tests == 1
    assert_same(state(Run(whole.run).last), state(run.last))


@pytest.mark.parametrize("whose", STOPPING)
def test_a_run_that_was_stopped_is_finished_too(tmp_path, experiment, whose):
    """With more patience, or more epochs that nothing stops, there is something to train."""

    def patience(number, *more):
        callback = ("callbacks", f"[{STOPPING[whose].format(number)}]")
        return experiment(FOUR_EPOCHS, callback, *more)

    first = Run(fit(patience(1), tmp_path).run)
    for arguments in ({"resume": "tiny"}, {"ckpt_path": first.last}):
        with pytest.raises(RunError, match="early_stopping has ended by val_loss") as error:
            fit(patience(1), tmp_path, **arguments)
        assert "or its patience above 1" in error.value.fix
        assert "raise trainer.min_epochs above 2" in error.value.fix
    at_least = ("trainer.min_epochs", "3")
    assert fit(patience(1, at_least), tmp_path, ckpt_path=first.last).epochs == 3
    with pytest.raises(RunError, match="early_stopping has ended"):
        fit(patience(1, at_least), tmp_path, resume="tiny")
    assert fit(patience(1, ("trainer.min_epochs", "4")), tmp_path, resume="tiny").epochs == 4
    shutil.rmtree(Run.find("tiny", tmp_path).path)
    assert first.status["tests"] == 1
    assert fit(patience(2), tmp_path, resume="tiny").epochs == 3
    with pytest.raises(RunError, match="or its patience above 2"):
        fit(patience(2), tmp_path, resume="tiny")
    assert fit(experiment(FOUR_EPOCHS), tmp_path, resume="tiny").epochs == 4


def test_patience_is_no_way_past_a_threshold(tmp_path, experiment):
    """So the error does not advise it."""
    values = "init_args: {monitor: val_loss, stopping_threshold: 100.0}"
    callback = f"[{{class_path: lightning.pytorch.callbacks.EarlyStopping, {values}}}]"
    assert fit(experiment(FOUR_EPOCHS, ("callbacks", callback)), tmp_path).epochs == 1
    with pytest.raises(RunError, match="early_stopping has ended by val_loss") as error:
        fit(experiment(FOUR_EPOCHS, ("callbacks", callback)), tmp_path, resume="tiny")
    assert "trainer.min_epochs" in error.value.fix and "patience" not in error.value.fix
