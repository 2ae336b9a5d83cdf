"""What may have changed when a training goes on, and what is refused."""

import json
import os

import pytest
import torch

from dlplug import config
from dlplug.errors import CheckpointError, ConfigError, InvalidValueError, RunError
from dlplug.loggers.metrics_file import read_metrics
from dlplug.run.checkpoint_io import DurableCheckpointIO
from dlplug.run.folder import Run
from tests.run.interrupted import (
    EMA,
    FOUR_EPOCHS,
    LONGER,
    Interrupt,
    RuinWeights,
    assert_same,
    fail,
    fit,
    state,
    terminate,
)


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
