"""quantile_coverage: shares of targets by hand, in every unit and shape, and from a task."""

import pytest
import torch
from torch import nn
from torchmetrics import MetricCollection

from dlplug.data.spec import DataSpec
from dlplug.errors import ConfigError, InvalidValueError
from dlplug.losses.quantile import QuantileLoss
from dlplug.metrics.quantile_coverage import QuantileCoverage
from dlplug.tasks.forecasting import Forecasting
from dlplug.tasks.regression import Regression

LEVELS = (0.1, 0.5, 0.9)
# Quantiles 1, 2, 3 for the targets 0, 1, 2.5, 3, 9: three are within the range.
TARGET = torch.tensor([[0.0], [1.0], [2.5], [3.0], [9.0]])
QUANTILES = torch.tensor([1.0, 2.0, 3.0]).expand(5, 1, 3)


def counted(**arguments):
    metric = QuantileCoverage(LEVELS, **arguments)
    metric.update(TARGET, TARGET, predicted_quantiles=QUANTILES)
    return float(metric.compute())


def test_shares_by_hand():
    """Between the outer two, and at or below each."""
    assert counted() == pytest.approx(0.6)
    assert [counted(level=level) for level in LEVELS] == pytest.approx([0.4, 0.4, 0.8])


def test_batches_add_up():
    """By targets, not by batches; steps and several targets count one by one."""
    metric = QuantileCoverage(LEVELS)
    metric.update(None, TARGET, QUANTILES)
    metric.update(
        None, torch.full((2, 5, 2), 2.0), torch.tensor([1.0, 2.0, 3.0]).expand(2, 5, 2, 3)
    )
    assert float(metric.compute()) == pytest.approx(23 / 25)
    assert {metric._reductions[name].__name__ for name in metric._defaults} == {"dim_zero_sum"}


def test_several_in_one_config_stay_apart():
    """Also where they were equal after the first batch, when torchmetrics merges their states."""
    metrics = MetricCollection({"a": QuantileCoverage(LEVELS), "b": QuantileCoverage(LEVELS, 0.9)})
    inside = torch.full((4, 1), 1.5)
    metrics.update(inside, inside, predicted_quantiles=QUANTILES[:4])
    metrics.update(TARGET, TARGET, predicted_quantiles=QUANTILES)
    values = metrics.compute()
    assert values["a"] == pytest.approx(7 / 9) and values["b"] == pytest.approx(8 / 9)


def test_regression_gives_its_quantiles():
    """Sorted, and in the unit of the targets: 10 times the outputs, and 100 more."""
    spec = DataSpec(num_targets=1, target_mean=(100.0,), target_std=(10.0,))
    metrics = {"within": QuantileCoverage(LEVELS), "below": QuantileCoverage(LEVELS, 0.5)}
    loss = QuantileLoss(LEVELS)
    task = Regression(nn.Identity(), loss, LEVELS, data_spec=spec, metrics=metrics)
    outputs = torch.tensor([[3.0, 1.0, 2.0]]).expand(5, 3)
    batch = outputs, TARGET
    besides = task.measured_besides(outputs, batch)
    assert besides["predicted_quantiles"][0, 0].tolist() == [110, 120, 130]
    counter = task.counters["val_"]
    counter.update(*task.measured(outputs, TARGET), **besides)
    values = counter.compute()
    assert values["val_within"] == pytest.approx(0.6)
    assert values["val_below"] == pytest.approx(0.4)
    assert Regression(nn.Identity(), loss).measured_besides(outputs, batch) == {}


def test_forecasting_gives_its_quantiles():
    """Of each step and target ``(B, H, K, Q)``."""
    spec = DataSpec(num_targets=2, horizon=4)
    task = Forecasting(nn.Identity(), QuantileLoss(LEVELS), LEVELS, data_spec=spec)
    output = torch.tensor([3.0, 1.0, 2.0]).expand(5, 4, 2, 3)
    target = torch.full((5, 4, 2), 2.5)
    metric = QuantileCoverage(LEVELS)
    metric.update(*task.measured(output, target), **task.measured_besides(output, (None, target)))
    assert float(metric.compute()) == 1 and int(metric.count) == 40


def test_what_it_cannot_count_is_named():
    """A level that is not predicted, a single quantile, a task without quantiles."""
    with pytest.raises(InvalidValueError, match=r"level = 0\.8 is not predicted") as error:
        QuantileCoverage(LEVELS, level=0.8)
    assert "known: 0.1, 0.5, 0.9" in str(error.value)
    with pytest.raises(InvalidValueError, match="there is no range"):
        QuantileCoverage((0.5,))
    assert QuantileCoverage((0.5,), level=0.5).place == 0
    with pytest.raises(ConfigError, match="needs predicted quantiles"):
        QuantileCoverage(LEVELS).update(TARGET, TARGET)
