"""The direction of a metric: its own, the watching callback's, or none."""

import pytest
from lightning import LightningModule

from dlplug import config
from dlplug.diagnostics import direction
from dlplug.diagnostics.direction import is_better_when_larger, monitor_of
from dlplug.errors import InvalidValueError
from dlplug.losses.cross_entropy import CrossEntropyLoss
from dlplug.tasks.sequence_to_sequence import SequenceToSequence

SERIES = (
    ("architecture", "{name: mlp, hidden: [4]}"),
    ("task", "{name: forecasting, quantiles: [0.1, 0.5, 0.9]}"),
    ("metrics", "[mase, quantile_coverage]"),
)


@pytest.fixture
def series(tmp_path):
    """Make an experiment that forecasts a series: ``series(("name", "x"), ...)``."""
    path = tmp_path / "series.csv"
    path.write_text("value\n" + "\n".join(str(i % 7) for i in range(200)))
    data = {
        "name": "series_forecasting",
        "path": str(path),
        "targets": "value",
        "input_length": 8,
        "horizon": 2,
    }

    def make(*overrides):
        return config.load([], [*SERIES, ("data", data), *overrides])

    return make


@pytest.mark.parametrize(
    ("metric", "is_larger"), [("val_loss", False), ("val_accuracy", True), ("train_accuracy", True)]
)
def test_loss_and_metrics_of_any_stage(experiment, metric, is_larger):
    """A loss is better when smaller."""
    assert is_better_when_larger(experiment(), metric) is is_larger


def test_a_loss_of_any_module_is_better_when_smaller(experiment, monkeypatch):
    """A plugin's task need not be a `Task`; of its other metrics nothing says it."""
    monkeypatch.setattr(direction, "build_task", lambda _: LightningModule())
    assert is_better_when_larger(experiment(), "val_loss") is False
    with pytest.raises(InvalidValueError, match="whether 'val_accuracy' is"):
        is_better_when_larger(experiment(), "val_accuracy")


def test_an_error_with_any_name_is_better_when_smaller(series):
    """No list of words: mase is in none."""
    assert is_better_when_larger(series(), "val_mase") is False


def test_a_metric_without_a_direction_is_refused(series):
    """Unless the callback checkpoint watches it, whose mode is one."""
    with pytest.raises(InvalidValueError, match="whether 'val_quantile_coverage' is") as error:
        is_better_when_larger(series(), "val_quantile_coverage")
    assert error.value.known == "val_loss, val_mase, val_quantile_coverage"
    assert "--callbacks+ '{name: checkpoint, monitor: val_quantile_coverage" in error.value.fix
    chosen = "[{name: checkpoint, monitor: val_quantile_coverage, mode: max}]"
    assert is_better_when_larger(series(("callbacks", chosen)), "val_quantile_coverage") is True


def test_the_best_epoch_is_the_checkpoints(experiment):
    """As the callback says, if it is there."""
    assert monitor_of(experiment()) is None
    chosen = "[{name: checkpoint, monitor: val_accuracy, mode: max}]"
    assert monitor_of(experiment(("callbacks", chosen))) == ("val_accuracy", "max")


def test_what_a_task_logs_besides_has_its_direction():
    """Exact matches and BLEU are no metrics of the config."""
    task = SequenceToSequence(None, CrossEntropyLoss())
    found = [task.is_better_when_larger(name) for name in ("bleu", "exact_match", "loss", "x")]
    assert found == [True, True, False, None]
