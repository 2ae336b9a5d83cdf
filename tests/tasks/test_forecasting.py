"""Forecasting: widths, units, tables, and forecasts better than the last value and the season."""

from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from dlplug.architectures.recurrent import GRU
from dlplug.data.series.forecasting import SeriesForecasting
from dlplug.data.spec import DataSpec
from dlplug.errors import ConfigError, DataError, InvalidValueError
from dlplug.losses.mse import mse
from dlplug.losses.quantile import QuantileLoss
from dlplug.metrics.mase import MASE
from dlplug.tasks.forecasting import Forecasting

QUANTILES = (0.1, 0.5, 0.9)
SPEC = DataSpec(
    num_features=3,
    horizon=2,
    num_targets=2,
    target_names=("a", "b"),
    target_mean=(10.0, 20.0),
    target_std=(2.0, 4.0),
    naive_error=(1.0, 1.0),
)


class Fixed(nn.Module):
    """Gives 0, 1, 2, ... for each window."""

    def __init__(self, width):
        super().__init__()
        self.width = width

    def forward(self, x):
        return torch.arange(float(self.width)).repeat(len(x), 1)


def test_the_width_follows_from_horizon_targets_and_quantiles():
    """H * K, or H * K * Q."""
    assert Forecasting.complete(SPEC).num_outputs == 4
    completed = Forecasting.complete(SPEC, QUANTILES)
    assert (completed.num_outputs, completed.quantiles) == (12, QUANTILES)
    assert completed.per_position is False


def test_metrics_are_in_the_original_unit():
    """Steps first, then targets."""
    task = Forecasting(Fixed(4), mse, data_spec=SPEC)
    output, target = task.output_and_target((torch.zeros(1, 5, 3), torch.zeros(1, 2, 2)))
    forecast, truth = task.measured(output, target)
    assert forecast.tolist() == [[[10, 24], [14, 32]]]
    assert truth.tolist() == [[[10, 20], [10, 20]]]


@pytest.mark.parametrize("level", [0.0, 1e9])
def test_no_level_takes_digits_away(level):
    """The same MASE for a series that lies elsewhere, and a table that tells its values apart."""
    spec = replace(SPEC, target_mean=(level, level))
    task = Forecasting(Fixed(4), mse, data_spec=spec)
    output, target = task.output_and_target((torch.zeros(1, 5, 3), torch.zeros(1, 2, 2)))
    metric = MASE((1.0, 1.0))
    metric.update(*task.measured(output, target))
    assert float(metric.compute()) == (0 * 2 + 1 * 4 + 2 * 2 + 3 * 4) / 4
    _, rows = task.prediction_table(task.predicted(output + 0.25))
    assert [float(cell) - level for cell in rows[0]] == [0.5, 5, 4.5, 13]


def test_quantiles_are_sorted_and_the_median_is_measured():
    """The table has a column for each step, target and quantile."""
    task = Forecasting(Fixed(12), QuantileLoss(QUANTILES), QUANTILES, data_spec=SPEC)
    output = -task(torch.zeros(1, 5, 3))
    forecast, _ = task.measured(output, torch.zeros(1, 2, 2))
    assert forecast.tolist() == [[[10 - 2, 20 - 16], [10 - 14, 20 - 40]]]
    columns, rows = task.prediction_table(task.predicted(output))
    assert columns[:4] == ["a_h1_q0.1", "a_h1_q0.5", "a_h1_q0.9", "b_h1_q0.1"]
    assert len(columns) == 12 and rows[0][:3] == ["6", "8", "10"]


def test_the_table_has_a_row_for_each_window():
    """And a column for each step and target."""
    task = Forecasting(Fixed(4), mse, data_spec=SPEC)
    columns, rows = task.prediction_table(task.predict_step(torch.zeros(2, 5, 3), 0))
    assert columns == ["a_h1", "b_h1", "a_h2", "b_h2"]
    assert rows == [["10", "24", "14", "32"]] * 2


@pytest.mark.parametrize("quantiles", [None, QUANTILES])
def test_the_last_value_can_be_added(quantiles):
    """An architecture that gives zeros then repeats the last value of each target."""
    width = 12 if quantiles else 4
    task = Forecasting(Fixed(width), mse, quantiles, add_last_value=True, data_spec=SPEC)
    x = torch.randn(3, 5, 3)
    change = task(x) - Forecasting(Fixed(width), mse, quantiles, data_spec=SPEC)(x)
    expected = x[:, -1:, :2].expand(3, 2, 2)
    if quantiles:
        expected = expected[..., None].expand(3, 2, 2, 3)
    torch.testing.assert_close(change, expected)


def test_what_does_not_fit_is_named():
    """Another width, other targets, a loss for points with quantiles."""
    batch = torch.zeros(1, 5, 3), torch.zeros(1, 2, 2)
    with pytest.raises(ConfigError, match=r"known: \(B, 4\): 2 steps of 2 targets"):
        Forecasting(Fixed(5), mse, data_spec=SPEC).check_batch(batch)
    with pytest.raises(DataError, match=r"needs targets \(1, 2, 2\), the data gives \(1, 2\)"):
        Forecasting(Fixed(4), mse, data_spec=SPEC).check_batch((batch[0], torch.zeros(1, 2)))
    with pytest.raises(ConfigError, match="loss mse: the output is"):
        Forecasting(Fixed(12), mse, QUANTILES, data_spec=SPEC).check_batch(batch)
    with pytest.raises(DataError, match="it publishes no horizon"):
        Forecasting.complete(DataSpec(num_targets=1))
    with pytest.raises(InvalidValueError, match=r"task forecasting: quantiles = \[0.1\] lack 0.5"):
        Forecasting.complete(SPEC, [0.1])


def test_forecasts_beat_the_last_value_and_the_year_before():
    """Seattle's highest temperatures of the next 7 days, on days that were never trained on."""
    if find_spec("vega_datasets") is None:
        pytest.skip("the weather comes with vega-datasets, which is not installed")
    data = SeriesForecasting(
        "package:vega_datasets/_data/seattle-weather.csv",
        "temp_max",
        ["temp_min", "precipitation", "wind"],
        time="date",
        calendar=["year"],
        input_length=14,
        horizon=7,
    )
    data.setup("test")
    spec = Forecasting.complete(data.data_spec)
    torch.manual_seed(0)
    network = GRU(spec.num_outputs, num_features=spec.num_features, dim=16)
    metric = MASE(spec.naive_error)
    task = Forecasting(network, mse, metrics={"mase": metric}, data_spec=spec)
    optimizer = torch.optim.Adam(task.parameters(), lr=1e-2, weight_decay=1e-4)
    train, test = data.split("train"), data.split("test")
    for _ in range(10):
        for rows in torch.randperm(len(train)).split(64):
            optimizer.zero_grad()
            task.loss(*task.output_and_target(train.__getitems__(rows))).backward()
            optimizer.step()
    past, future = batch = test.__getitems__(range(len(test)))
    with torch.no_grad():
        forecast, truth = task.eval().measured(*task.output_and_target(batch))
    error = float((forecast - truth).abs().mean())
    last = float((past[:, -1:, :1] - future).abs().mean()) * spec.target_std[0]
    rows = test.starts[:, None] + 14 + torch.arange(7)
    season = float((test.values[rows - 365, :1] - future).abs().mean()) * spec.target_std[0]
    assert error < 0.92 * min(last, season), (error, last, season)


def test_impossible_quantiles_name_the_task():
    """Not the task that it is made from."""
    with pytest.raises(InvalidValueError, match="task forecasting: quantiles = "):
        Forecasting.complete(DataSpec(num_targets=1, horizon=2), quantiles=[0.1, 0.9])
