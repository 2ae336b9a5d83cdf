"""A training that was interrupted goes on as if it had not been."""

import json
import os
import shutil
import signal

import lightning
import numpy as np
import pytest
import torch

from dlplug import config
from dlplug.errors import CheckpointError, ConfigError, InvalidValueError, RunError
from dlplug.loggers.metrics_file import read_metrics
from dlplug.run import verbs
from dlplug.run.checkpoint_io import DurableCheckpointIO
from dlplug.run.folder import Run

FOUR_EPOCHS = ("trainer.max_epochs", "4")
EMA = ("callbacks", "[{name: ema, decay: 0.9}]")
IMAGES = ("data.transforms", "[{name: random_shift, max_shift: 1}]")


class Interrupt(lightning.Callback):
    """End the process at one step, as `how` says."""

    def __init__(self, step, how):
        self.step = step
        self.how = how

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.step:
            self.how()


class InterruptValidation(lightning.Callback):
    """Be told to end while the metric is measured for the second time."""

    def __init__(self):
        self.count = 0

    def on_validation_start(self, trainer, pl_module):
        self.count += not trainer.sanity_checking
        if self.count == 2:
            terminate()


class FailAtEnd(lightning.Callback):
    """After the last checkpoint, before the other callbacks."""

    def on_train_end(self, trainer, pl_module):
        fail()


class FailInTest(lightning.Callback):
    def on_test_start(self, trainer, pl_module):
        fail()


class RuinWeights(lightning.Callback):
    """Make every weight much larger after each batch."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        for weight in pl_module.parameters():
            weight.data.mul_(3)


def fail():
    raise RuntimeError("the machine is on fire")


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def fit(experiment, root, callback=None, **arguments):
    if callback is not None:
        build = experiment.build_callbacks
        experiment.build_callbacks = lambda: [callback, *build()]
    return verbs.fit(experiment, root=root, progress=False, **arguments)


def state(path):
    return torch.load(path, weights_only=True)


def rows(path):
    """What was logged, but for when."""
    found = read_metrics(Run(path).metrics)
    return [{name: value for name, value in row.items() if name != "time"} for row in found]


def assert_same(first, second):
    """Weights, optimizer, scheduler and random states, bit by bit."""
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "ema"):
        torch.testing.assert_close(first.get(key), second.get(key), rtol=0, atol=0)
    states = [content["callbacks"]["RandomState"]["ranks"][0] for content in (first, second)]
    assert torch.equal(states[0]["torch"], states[1]["torch"])
    assert states[0]["python"] == states[1]["python"]
    assert first["epoch"] == second["epoch"] and first["global_step"] == second["global_step"]


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


def test_what_changed_since_is_kept_beside_the_original(tmp_path, experiment):
    """The resolved config of a resume does not replace the first one."""
    fit(experiment(), tmp_path)
    run = Run.find("tiny", tmp_path)
    before = run.resolved.read_text()
    fit(experiment(("trainer.max_epochs", "3")), tmp_path, resume="tiny")
    assert run.resolved.read_text() == before
    assert "max_epochs: 3" in (run.path / "resolved.1.yaml").read_text()


def test_the_best_checkpoint_survives_a_resume_and_a_move(tmp_path, experiment):
    """A worse epoch after the resume does not replace the best one, in a moved folder either."""
    fit(experiment(), tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    run = Run.find("tiny", tmp_path / "b")
    best = run.best.read_bytes()
    ruin = RuinWeights()
    fit(experiment(("trainer.max_epochs", "3")), tmp_path / "b", ruin, resume="tiny")
    rows = [row for row in read_metrics(run.metrics) if "val_loss" in row]
    assert rows[-1]["val_loss"] > 10 * rows[0]["val_loss"]
    assert run.best.read_bytes() == best


def test_a_changed_optimizer_is_not_ignored(tmp_path, experiment):
    """The checkpoint brings its learning rate along, so another one in the config is an error."""
    fit(experiment(), tmp_path)
    changed = experiment(("trainer.max_epochs", "3"), ("optimizer.lr", "0.5"))
    with pytest.raises(InvalidValueError, match=r"sets optimizer.lr: 0.5, .* with 0.003"):
        fit(changed, tmp_path, resume="tiny")


def test_another_optimizer_is_refused_by_its_name(tmp_path, experiment):
    """A short name and an id are the same optimizer; another one is named first."""
    fit(experiment(), tmp_path)
    longer = ("trainer.max_epochs", "3")
    content = Run.find("tiny", tmp_path).last
    record = torch.load(content, weights_only=True)
    assert record["dlplug"]["resolved"]["optimizer"]["name"] == "dlplug:adamw"
    record["dlplug"]["resolved"]["optimizer"]["name"] = "adamw"
    DurableCheckpointIO().save_checkpoint(record, content)
    with pytest.raises(InvalidValueError, match=r"sets optimizer.name: 'dlplug:sgd', .*adamw'"):
        fit(experiment(longer, ("optimizer", "sgd")), tmp_path, resume="tiny")
    fit(experiment(longer), tmp_path, resume="tiny")


STEP = ("scheduler", "{name: step, step_size: 10, gamma: 0.1}")
LONGER = ("trainer.max_epochs", "3")


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        ("{name: step, step_size: 2, gamma: 0.1}", "scheduler.step_size: 2, .* continues with 10"),
        ("{name: step, step_size: 10, gamma: 0.5}", "scheduler.gamma: 0.5, .* continues with 0.1"),
        ("warmup_cosine", "scheduler.name: 'dlplug:warmup_cosine', .* with 'dlplug:step'"),
        ("plateau", "scheduler.name: 'dlplug:plateau', .* with 'dlplug:step'"),
        ("null", "scheduler.name: None, .* with 'dlplug:step'"),
    ],
)
def test_a_changed_scheduler_is_not_ignored(step_run, experiment, scheduler, message):
    """Its state brings the arguments along, and does not fit another one."""
    with pytest.raises(InvalidValueError, match=message) as error:
        fit(experiment(LONGER, ("scheduler", scheduler)), step_run.parent.parent, resume="tiny")
    assert error.value.where.endswith("last.ckpt")


@pytest.fixture(scope="module")
def step_run(digits_file, tmp_path_factory):
    """The folder of a run whose rate falls every ten epochs."""
    return fit(config.load([digits_file], [STEP]), tmp_path_factory.mktemp("step")).run


def test_the_same_scheduler_goes_on(step_run, experiment, tmp_path):
    """With the checkpoint's arguments, which are the config's."""
    longer = experiment(LONGER, STEP)
    assert fit(longer, tmp_path, ckpt_path=Run(step_run).last).epochs == 3


def rate_after(run):
    return state(Run(run).last)["lr_schedulers"][0]["_last_lr"][0]


def test_what_a_state_does_not_hold_may_change(tmp_path, experiment):
    """A schedule by a function of the step follows the config: it is not ignored."""
    first = fit(experiment(), tmp_path).run
    rates = [
        rate_after(fit(experiment(LONGER, *more), tmp_path, ckpt_path=Run(first).last).run)
        for more in ((), (("scheduler.min_ratio", "0.5"),))
    ]
    assert rates[0] < 0.001 < 0.0015 <= rates[1]


def test_the_length_of_one_cycle_may_change(tmp_path, experiment):
    """It is the config's; whatever else is in the state may not."""
    cycle = ("scheduler", "{name: one_cycle, total_steps: 16}")
    first = Run(fit(experiment(cycle), tmp_path).run).last
    longer = ("scheduler", "{name: one_cycle, total_steps: 24}")
    assert fit(experiment(LONGER, longer), tmp_path, ckpt_path=first).epochs == 3
    other = ("scheduler", "{name: one_cycle, total_steps: 24, base_momentum: 0.7}")
    with pytest.raises(InvalidValueError, match=r"scheduler.base_momentum: 0.7, .* with 0.85"):
        fit(experiment(LONGER, other), tmp_path, ckpt_path=first)


def test_fewer_epochs_than_are_done_are_refused(tmp_path, experiment):
    """One message instead of Lightning's exception; the run folder is as it was."""
    with pytest.raises(RuntimeError):
        fit(experiment(FOUR_EPOCHS), tmp_path, Interrupt(20, fail))
    run = Run.find("tiny", tmp_path)
    before = sorted(os.listdir(run.path))
    with pytest.raises(RunError, match=r"is after 2 epochs, and trainer.max_epochs is 1") as error:
        fit(experiment(("trainer.max_epochs", "1")), tmp_path, resume="tiny")
    assert "raise trainer.max_epochs above 2" in error.value.fix
    assert sorted(os.listdir(run.path)) == before


def test_changed_code_is_said(tmp_path, experiment, capsys):
    """Resuming with other code than the run began with names each difference."""
    fit(experiment(), tmp_path)
    run = Run.find("tiny", tmp_path)
    lock = json.loads(run.lock.read_text())
    lock["distributions"]["torch"]["version"] = "0.0.1"
    del lock["components"][0]
    run.lock.write_text(json.dumps(lock))
    fit(experiment(("trainer.max_epochs", "3")), tmp_path, resume="tiny")
    told = capsys.readouterr().err
    assert f"torch: version 0.0.1 in the lock, {torch.__version__} here; dlplug:" in told
    assert "here, not in the lock" in told


def test_a_checkpoint_of_another_run_starts_a_new_one(tmp_path, experiment):
    """ckpt_path goes on in a folder of its own and leaves the old one as it was."""
    first = fit(experiment(), tmp_path)
    before = (first.run / "run.json").read_text()
    result = fit(experiment(("trainer.max_epochs", "3")), tmp_path, ckpt_path=Run(first.run).last)
    assert result.run.name == "2" and result.epochs == 3
    assert (first.run / "run.json").read_text() == before
    rows = read_metrics(Run(result.run).metrics)
    assert {row["epoch"] for row in rows if "val_loss" in row} == {2}


def test_resume_and_ckpt_path_exclude_each_other(tmp_path, experiment):
    """The message says what each of them does."""
    with pytest.raises(ConfigError, match="exclude each other"):
        fit(experiment(), tmp_path, resume="auto", ckpt_path="x.ckpt")


def test_a_run_without_checkpoint_cannot_go_on(tmp_path, experiment):
    """It ended before its first epoch did."""
    with pytest.raises(RuntimeError):
        fit(experiment(), tmp_path, Interrupt(3, fail))
    with pytest.raises(RunError, match="ended before its first checkpoint"):
        fit(experiment(), tmp_path, resume="tiny")
    assert fit(experiment(), tmp_path, resume="auto").run.name == "2"


def test_the_average_cannot_be_dropped_on_a_resume(tmp_path, experiment):
    """The checkpoint's weights are averages, which the optimizer's state does not belong to."""
    fit(experiment(EMA), tmp_path)
    with pytest.raises(CheckpointError, match="ema"):
        fit(experiment(("trainer.max_epochs", "3")), tmp_path, resume="tiny")


def test_run_json_says_what_happened(tmp_path, experiment):
    """Status, times and number of tests, as plain JSON."""
    result = fit(experiment(), tmp_path)
    status = json.loads((result.run / "run.json").read_text())
    assert status["status"] == "finished" and status["tests"] == 1
    assert status["started"] <= status["finished"]


def test_another_loss_is_refused(tmp_path, experiment):
    """The best would be by the old one's values for good; a new run compares its own."""
    fit(experiment(("loss", "focal")), tmp_path)
    first = Run.find("tiny", tmp_path)
    other = (LONGER, ("loss", "cross_entropy"))
    with pytest.raises(InvalidValueError, match=r"sets loss.name: 'dlplug:cross_entropy'") as error:
        fit(experiment(*other), tmp_path, resume="tiny")
    assert error.value.fix.endswith(f"or start a new run from here: --ckpt_path {first.last}")
    with pytest.raises(InvalidValueError, match=r"sets loss.gamma: 3.0, .* with 2.0"):
        fit(experiment(LONGER, ("loss", "{name: focal, gamma: 3.0}")), tmp_path, resume="tiny")
    result = fit(experiment(*other), tmp_path, ckpt_path=first.last)
    assert state(Run(result.run).best)["epoch"] == 2
    fit(experiment(LONGER, ("loss", "focal")), tmp_path, resume="tiny/1")


def test_a_run_that_goes_on_keeps_its_name(tmp_path, experiment):
    """Another one would say nothing."""
    fit(experiment(), tmp_path)
    with pytest.raises(ConfigError, match=r"the name 'other' would say nothing: .* its own"):
        fit(experiment(LONGER), tmp_path, resume="tiny", name="other")
    assert fit(experiment(LONGER), tmp_path, resume="tiny", name="tiny").epochs == 3


def test_a_seed_that_was_drawn_is_kept(tmp_path, experiment):
    """Another one would apply the place in the data to another order of the records."""
    overrides = (FOUR_EPOCHS, ("seed_everything", "true"))
    begun, later = experiment(*overrides), experiment(*overrides)
    assert begun.seed != later.seed
    with pytest.raises(SystemExit):
        fit(begun, tmp_path / "parts", Interrupt(12, terminate))
    run = Run(fit(later, tmp_path / "parts", resume="auto").run)
    assert not (run.path / "resolved.1.yaml").exists()
    seed = ("seed_everything", str(begun.seed))
    whole = fit(experiment(FOUR_EPOCHS, seed), tmp_path / "whole")
    assert_same(state(Run(whole.run).last), state(run.last))


def test_another_seed_is_refused(tmp_path, experiment):
    """Whether it was given or is the default; a new run from the checkpoint takes it."""
    fit(experiment(), tmp_path)
    run = Run.find("tiny", tmp_path)
    before, other = sorted(os.listdir(run.path)), experiment(LONGER, ("seed_everything", "5"))
    with pytest.raises(InvalidValueError, match=r"_everything is 5, .* with 3") as error:
        fit(other, tmp_path, resume="tiny")
    assert error.value.fix.startswith("seed_everything: 3, or ")
    assert sorted(os.listdir(run.path)) == before
    assert fit(other, tmp_path, ckpt_path=run.last).run == run.path.parent / "2"
