"""check_monitors: an unknown metric is refused before a run folder exists."""

from pathlib import Path

import pytest
from lightning.pytorch.callbacks import Callback

from dlplug import config
from dlplug.callbacks.early_stopping import EarlyStopping
from dlplug.errors import InvalidValueError
from dlplug.run import verbs
from dlplug.run.monitors import name_of

CONFIG = """
architecture: {name: mlp, hidden: [4]}
metrics: [accuracy, f1]
data: digits
trainer: {max_epochs: 1, limit_train_batches: 1, limit_val_batches: 1, accelerator: cpu}
"""


@pytest.fixture
def fit(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)

    def run(*overrides, callbacks=()):
        made = config.load([path], list(overrides))
        build = made.build_callbacks
        made.build_callbacks = lambda: [*callbacks, *build()]
        return verbs.fit(made, root=tmp_path / "runs", name="x", progress=False)

    return run


@pytest.mark.parametrize(
    ("override", "who"),
    [
        (("callbacks", "[{name: early_stopping, monitor: val_acuracy}]"), "early_stopping"),
        (("callbacks", "[{name: checkpoint, monitor: val_acuracy}]"), "checkpoint"),
        (("scheduler", "{name: plateau, monitor: val_acuracy}"), "scheduler"),
    ],
)
def test_an_unknown_metric_is_refused_before_anything_is_written(fit, tmp_path, override, who):
    """The message names who watches, what is logged, and the nearest name."""
    with pytest.raises(
        InvalidValueError, match=f"{who}: monitor = 'val_acuracy' is not logged"
    ) as error:
        fit(override)
    assert not (tmp_path / "runs").exists()
    assert "train_loss, train_loss_step, val_accuracy, val_f1, val_loss" in error.value.known
    assert "did you mean 'val_accuracy'" in error.value.fix


def test_what_is_logged_is_known(fit):
    """Every name that the message above would give can be watched."""
    for monitor in ("train_loss", "train_f1", "val_accuracy", "train_loss_step"):
        assert fit(("callbacks", f"[{{name: early_stopping, monitor: {monitor}}}]")).run.is_dir()


def test_without_a_validation_its_metrics_are_unknown(fit, tmp_path):
    """But a checkpoint is kept all the same."""
    for none in (("data.validation_fraction", "0.0"), ("trainer.limit_val_batches", "0")):
        with pytest.raises(InvalidValueError, match="early_stopping: monitor = 'val_loss'"):
            fit(none, ("callbacks", "[early_stopping]"))
        assert not (tmp_path / "runs").exists()
    assert fit(none, ("callbacks", "[checkpoint]")).run.is_dir()


class Logs(Callback):
    """Somebody else's callback, which logs what nobody can know before."""

    def on_validation_epoch_end(self, trainer, pl_module):
        pl_module.log("val_secret", 1.0)


def test_what_others_may_log_is_let_through(fit):
    """It may be there, and is."""
    done = fit(callbacks=[Logs(), EarlyStopping("val_secret")])
    assert done.run.is_dir()


def test_a_callback_is_named_as_in_a_config():
    """Words are separated."""
    assert name_of(EarlyStopping()) == "early_stopping" and name_of(None) == "scheduler"


def test_what_a_task_logs_besides_can_be_watched(tmp_path, monkeypatch):
    """A sequence that is written is compared in validation, unless none is."""
    monkeypatch.chdir(tmp_path)
    few = [(f"trainer.limit_{stage}_batches", "1") for stage in ("train", "val", "test")]
    few += [("trainer.max_epochs", "1"), ("architecture.dim", "8"), ("architecture.heads", "2")]
    few += [("callbacks+", "{name: early_stopping, monitor: val_bleu, mode: max}")]
    path = Path(__file__).parents[2] / "configs" / "dates_encoder_decoder.yaml"
    assert verbs.fit(config.load([path], few), progress=False).run.is_dir()
    few += [("task.generated_batches", "0")]
    with pytest.raises(InvalidValueError, match="monitor = 'val_bleu' is not logged"):
        verbs.fit(config.load([path], few), progress=False)
