"""A training that was interrupted goes on as if it had not been."""

import os
import signal

import pytest

from dlplug import config
from dlplug.errors import RunError
from dlplug.loggers.metrics_file import read_metrics
from dlplug.run.folder import Run
from tests.run.interrupted import (
    EMA,
    FOUR_EPOCHS,
    IMAGES,
    Interrupt,
    assert_same,
    fail,
    fit,
    rows,
    state,
    terminate,
)


@pytest.mark.parametrize(
    ("step", "how", "error", "status"),
    [
        (12, fail, RuntimeError, "failed"),
        (12, terminate, SystemExit, "interrupted"),
        (16, fail, RuntimeError, "failed"),
        (16, terminate, SystemExit, "interrupted"),
    ],
    ids=["crash in an epoch", "SIGTERM in an epoch", "crash at its end", "SIGTERM at its end"],
)
def test_resumed_training_gives_the_same_bits(
    tmp_path, experiment, step, how, error, status, capsys
):
    """Weights, optimizer, EMA and random states equal those of a training in one go.

    With dropout and random shifts, which draw from the global random state.
    """
    overrides = (FOUR_EPOCHS, EMA, IMAGES)
    whole = fit(experiment(*overrides), tmp_path / "whole")
    root = tmp_path / "parts"
    with pytest.raises(error):
        fit(experiment(*overrides), root, Interrupt(step, how))
    run = Run.find("tiny", root)
    assert run.status["status"] == status
    assert (f"saved {run.last}; go on" in capsys.readouterr().err) == (how is terminate)
    # A crash loses the epoch, SIGTERM loses nothing.
    assert state(run.last)["global_step"] == (step if how is terminate else 8)
    resumed = fit(experiment(*overrides), root, resume="auto")
    assert resumed.run == run.path
    assert_same(state(Run(whole.run).last), state(run.last))
    assert_same(state(Run(whole.run).best), state(run.best))
    assert run.status["status"] == "finished"
    rows = [read_metrics(Run(path).metrics) for path in (whole.run, run.path)]
    curves = [
        [(r["step"], r["epoch"], r["val_loss"]) for r in rs if "val_loss" in r] for rs in rows
    ]
    assert curves[0] == curves[1]


@pytest.mark.parametrize("num_workers", ["0", "1"])
def test_mid_epoch_checkpoints_by_steps(tmp_path, experiment, num_workers):
    """every_n_steps writes last.ckpt within an epoch, from which the same bits follow."""
    often = ("callbacks", "[{name: checkpoint, every_n_steps: 3}]")
    overrides = (FOUR_EPOCHS, often, ("data.num_workers", num_workers))
    whole = fit(experiment(*overrides), tmp_path / "whole")
    with pytest.raises(RuntimeError):
        fit(experiment(*overrides), tmp_path / "parts", Interrupt(14, fail))
    run = Run.find("tiny", tmp_path / "parts")
    assert state(run.last)["global_step"] == 12
    fit(experiment(*overrides), tmp_path / "parts", resume="auto")
    assert_same(state(Run(whole.run).last), state(run.last))


@pytest.mark.parametrize(
    ("more", "step"),
    [
        ((), 5),
        ((("trainer.accumulate_grad_batches", "2"),), 3),
        ((("trainer.val_check_interval", "2"),), 4),
        ((("trainer.val_check_interval", "4"), ("callbacks", "[lr_monitor]")), 12),
    ],
    ids=["within", "accumulated", "validated", "validated in another epoch"],
)
def test_a_resumed_training_logs_the_same_rows(tmp_path, experiment, more, step):
    """Those of every second step, under the steps that they are of."""
    overrides = (("trainer.log_every_n_steps", "2"), *more)
    whole = fit(experiment(*overrides), tmp_path / "whole").run
    with pytest.raises(SystemExit):
        fit(experiment(*overrides), tmp_path / "parts", Interrupt(step, terminate))
    run = Run.find("tiny", tmp_path / "parts")
    assert state(run.last)["global_step"] == step
    fit(experiment(*overrides), tmp_path / "parts", resume="auto")
    assert rows(run.path) == rows(whole)


@pytest.mark.parametrize(
    "callback",
    [
        "name: accumulation_schedule, schedule: {1: 3}",
        "class_path: lightning.pytorch.callbacks.GradientAccumulationScheduler,"
        " init_args: {scheduling: {1: 3}}",
    ],
    ids=["dlplug", "Lightning"],
)
def test_a_schedule_of_accumulation_holds_within_an_epoch(tmp_path, experiment, callback):
    """Killed after three of eight batches, which made one step, the epoch takes two more."""
    schedule = ("callbacks", f"[{{{callback}}}]")
    whole = fit(experiment(schedule), tmp_path / "whole")
    with pytest.raises(SystemExit):
        fit(experiment(schedule), tmp_path / "parts", Interrupt(9, terminate))
    run = Run.find("tiny", tmp_path / "parts")
    assert state(run.last)["global_step"] == 9
    fit(experiment(schedule), tmp_path / "parts", resume="auto")
    assert state(run.last)["global_step"] == 11
    assert_same(state(Run(whole.run).last), state(run.last))


STREAMS = """
seed_everything: 3
name: tiny
task: {{name: language_modelling, objective: causal}}
architecture: {{name: {name}, dim: 8, dropout: 0.2, stateful: true}}
optimizer: {{name: adamw, lr: 0.01}}
data: {{name: text, path: {path}, sequence_length: 8, batch_size: 4, contiguous: true}}
trainer: {{max_epochs: 3, limit_train_batches: 10, val_check_interval: 4, accelerator: cpu}}
callbacks: [{{name: checkpoint, every_n_steps: 7}}]
"""


@pytest.mark.parametrize("name", ["gru", "lstm"])
@pytest.mark.parametrize(("how", "error"), [(fail, RuntimeError), (terminate, SystemExit)])
def test_streams_go_on_where_they_were(tmp_path, name, how, error):
    """A recurrent network's state is that of the batch before, also across a kill in an epoch.

    After step 7 of each 10: by the checkpoint of that step, or by that of SIGTERM one step later.
    """
    text, path = tmp_path / "a.txt", tmp_path / "streams.yaml"
    text.write_text("".join(f"{i * i} and {i} make {i * i + i}\n" for i in range(120)))
    path.write_text(STREAMS.format(name=name, path=text))
    whole = fit(config.load([path]), tmp_path / "whole")
    with pytest.raises(error):
        fit(config.load([path]), tmp_path / "parts", Interrupt(18, how))
    run = Run.find("tiny", tmp_path / "parts")
    saved = state(run.last)
    assert saved["global_step"] == (18 if how is terminate else 14)
    (carried,) = saved["carried_states"]
    hidden = carried["architecture"][0] if name == "lstm" else carried["architecture"]
    assert hidden.shape == (1, 4, 8) and hidden.any()
    fit(config.load([path]), tmp_path / "parts", resume="auto")
    assert_same(state(Run(whole.run).last), state(run.last))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_with_a_code_that_says_so(tmp_path, experiment, signum):
    """The step is saved; Lightning alone exits with 0, which a scheduler takes for success."""
    with pytest.raises(SystemExit) as exit:
        fit(experiment(), tmp_path, Interrupt(5, lambda: os.kill(os.getpid(), signum)))
    assert exit.value.code == 128 + signum
    run = Run.find("tiny", tmp_path)
    assert state(run.last)["global_step"] == 5 and run.status["status"] == "interrupted"


def test_an_exception_of_ctrl_c_is_an_interruption(tmp_path, experiment):
    """One that a library raises: the run says interrupted, and the exception is Python's own."""

    def ctrl_c():
        raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(experiment(), tmp_path, Interrupt(5, ctrl_c))
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning ignores it from then on
    assert Run.find("tiny", tmp_path).status["status"] == "interrupted"


def test_auto_starts_a_run_when_there_is_none_to_go_on_with(tmp_path, experiment):
    """The first call starts number 1; a call after the end starts number 2."""
    assert fit(experiment(), tmp_path, resume="auto").run == tmp_path / "tiny" / "1"
    assert fit(experiment(), tmp_path, resume="auto").run == tmp_path / "tiny" / "2"


def test_auto_leaves_a_run_alone_that_is_being_trained(tmp_path, experiment):
    """A run of another, living process is not unfinished."""
    with pytest.raises(RuntimeError):
        fit(experiment(), tmp_path, Interrupt(12, fail))
    run = Run.find("tiny", tmp_path)
    assert Run.unfinished(tmp_path, "tiny") == run
    with run.hold():
        assert Run.unfinished(tmp_path, "tiny") is None
        with pytest.raises(RunError, match="is being trained by another process"):
            fit(experiment(), tmp_path, resume="tiny")


def test_a_finished_run_can_train_longer(tmp_path, experiment):
    """With more epochs it goes on; with the same number there is nothing to do."""
    fit(experiment(), tmp_path)
    with pytest.raises(RunError, match="has finished its 2 epochs") as error:
        fit(experiment(), tmp_path, resume="tiny")
    assert "raise trainer.max_epochs above 2" in str(error.value)
    result = fit(experiment(("trainer.max_epochs", "3")), tmp_path, resume="tiny")
    assert result.epochs == 3 and result.tests == 2
    assert Run(result.run).status["resumed"] == 1


def test_a_run_that_has_done_its_steps_is_finished_too(tmp_path, experiment):
    """It would train nothing, and be tested once more."""

    def steps(count):
        return experiment(("trainer.max_steps", count), ("trainer.max_epochs", "-1"))

    first = fit(steps("5"), tmp_path)
    for arguments in ({"resume": "tiny"}, {"ckpt_path": Run(first.run).last}):
        with pytest.raises(RunError, match=r"5 steps, and trainer.max_steps is 5") as error:
            fit(steps("5"), tmp_path, **arguments)
        assert "raise trainer.max_steps above 5" in error.value.fix
    assert Run(first.run).status["tests"] == 1
    result = fit(steps("7"), tmp_path, resume="tiny")
    assert state(Run(result.run).last)["global_step"] == 7 and result.tests == 2
