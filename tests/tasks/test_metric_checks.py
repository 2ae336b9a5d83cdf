"""A metric that does not fit the task is named before a training, with what it got."""

import pytest
import torch
from torch import nn
from torchmetrics import Metric, MetricCollection

from dlplug.errors import ConfigError
from dlplug.losses.cross_entropy import CrossEntropyLoss
from dlplug.losses.mse import MSELoss
from dlplug.metrics.accuracy import Accuracy
from dlplug.metrics.mae import MAE
from dlplug.metrics.multilabel_f1 import MultilabelF1
from dlplug.metrics.perplexity import Perplexity
from dlplug.metrics.quantile_coverage import QuantileCoverage
from dlplug.metrics.r2 import R2
from dlplug.metrics.rmse import RMSE
from dlplug.tasks.classification import Classification
from dlplug.tasks.metric_checks import check_metrics
from dlplug.tasks.regression import Regression

ROWS = torch.randn(6, 4)


def classification(**metrics):
    task = Classification(nn.Linear(4, 3), CrossEntropyLoss(), metrics=metrics)
    task.check_batch((ROWS, torch.arange(6) % 3))
    return task


def regression(**metrics):
    task = Regression(nn.Linear(4, 2), MSELoss(), metrics=metrics)
    task.check_batch((ROWS, torch.randn(6, 2)))
    return task


def test_a_metric_that_fits_counts_nothing():
    """The check leaves the metrics of the training as they are."""
    task = classification(accuracy=Accuracy(3))
    assert not task.counters["val_"]["accuracy"].update_called
    regression(mae=MAE(), rmse=RMSE(), r2=R2())


@pytest.mark.parametrize(
    ("task", "name", "metric"),
    [
        (classification, "r2", R2()),
        (classification, "mae", MAE()),
        (classification, "multilabel_f1", MultilabelF1(3)),
        (regression, "perplexity", Perplexity()),
    ],
)
def test_a_metric_of_another_task_is_named(task, name, metric):
    """By the config's name, with both sides; a metric before it that fits is not to blame."""
    first = {"accuracy": Accuracy(3)} if task is classification else {"rmse": RMSE()}
    with pytest.raises(
        ConfigError, match=rf"metric '{name}' cannot count the output \(6, "
    ) as error:
        task(**first, **{name: metric})
    assert "the target (6," in str(error.value)
    assert error.value.fix.endswith("plugins list --kind metrics")


class Slip(Metric):
    """With a slip in its code."""

    def update(self, output, target):
        """Fails."""
        raise {}["missing"]

    def compute(self):
        """Nothing."""


def test_a_slip_in_a_metric_is_one():
    """It is to be corrected, not chosen anew."""
    with pytest.raises(ConfigError, match=r"metric 'slip' fails for the output .* KeyError"):
        regression(slip=Slip())


def test_what_some_metrics_need_besides_is_given_to_them_alone():
    """Quantiles."""
    counter = MetricCollection({"mae": MAE(), "coverage": QuantileCoverage((0.1, 0.9))})
    quantiles = torch.zeros(6, 2, 2)
    numbers = torch.randn(6, 2)
    check_metrics(counter, numbers, numbers, {"predicted_quantiles": quantiles})
    with pytest.raises(ConfigError, match="needs predicted quantiles"):
        check_metrics(counter, numbers, numbers, {})
