"""Regression: units, quantiles, tables of predictions, and that it learns."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score
from torch import nn

from dlplug.data.spec import DataSpec
from dlplug.errors import ConfigError, DataError, InvalidValueError
from dlplug.losses.binary_cross_entropy import BinaryCrossEntropyLoss
from dlplug.losses.cross_entropy import CrossEntropyLoss
from dlplug.losses.mse import MSELoss
from dlplug.losses.quantile import QuantileLoss
from dlplug.losses.weighted_sum import WeightedSum
from dlplug.metrics.mae import MAE
from dlplug.metrics.r2 import R2
from dlplug.metrics.rmse import RMSE
from dlplug.tasks.regression import Regression, in_digits

SPEC = DataSpec(
    num_features=4,
    num_targets=2,
    target_names=("price", "weight"),
    target_mean=(100.0, -5.0),
    target_std=(10.0, 2.0),
)
BATCH = (torch.randn(6, 4), torch.randn(6, 2))


def task(quantiles=None, model=None, **arguments):
    width = 2 * len(quantiles or (1,))
    loss = QuantileLoss(quantiles) if quantiles else MSELoss()
    chosen = {"loss": loss, "data_spec": SPEC, "quantiles": quantiles}
    return Regression(model or nn.Linear(4, width), **(chosen | arguments))


def test_it_decides_the_width():
    """One output for each target, or for each of its quantiles."""
    assert Regression.complete(SPEC).value_for("num_outputs") == 2
    spec = Regression.complete(SPEC, quantiles=[0.1, 0.5, 0.9])
    assert spec.num_outputs == 6 and spec.quantiles == (0.1, 0.5, 0.9)
    assert spec.per_position is False


def test_metrics_and_predictions_are_in_the_original_unit():
    """Output times standard deviation plus mean."""
    output, target = torch.tensor([[1.0, -1.0]]), torch.tensor([[0.0, 2.0]])
    predicted, truth = task().measured(output, target)
    assert predicted.tolist() == [[110.0, -7.0]] and truth.tolist() == [[100.0, -1.0]]
    assert task().predicted(output.bfloat16()).tolist() == [[110.0, -7.0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("level", [0.0, 1e9, -1e12])
def test_no_level_takes_digits_away(level, dtype):
    """Metrics and the table are as exact around 1e9 as around 0, and in half precision."""
    spec = DataSpec(num_targets=2, target_mean=(level, level), target_std=(4.0, 2.0))
    metrics = {"mae": MAE(), "rmse": RMSE(), "r2": R2()}
    module = task(data_spec=spec, metrics=metrics).to(dtype)
    target = torch.tensor([[0.5, -1.0], [-1.0, 0.25], [0.125, 2.0]])
    output = target + torch.tensor([[0.25, -0.5], [0.0, 0.5], [-0.25, 0.0]])
    for metric in metrics.values():
        metric.update(*module.measured(output.to(dtype), target))
    found = {name: float(metric.compute()) for name, metric in metrics.items()}
    unit = np.array([4.0, 2.0])
    truth, guess = target.numpy() * unit, output.numpy() * unit
    assert found["mae"] == pytest.approx(np.abs(guess - truth).mean(), rel=1e-4)
    assert found["rmse"] == pytest.approx(np.sqrt(np.square(guess - truth).mean()), rel=1e-4)
    assert found["r2"] == pytest.approx(r2_score(truth, guess), rel=1e-4)
    _, rows = module.prediction_table(module.predicted(output.to(dtype)))
    shown = np.array([[float(cell) for cell in row] for row in rows])
    assert np.abs(shown - level - guess).max() <= 1e-3


class OnMPS(torch.Tensor):
    """What a device without float64 answers, without the device."""

    device = torch.device("mps")

    def double(self):
        raise TypeError("the MPS framework doesn't support float64")

    def cpu(self):
        return self.as_subclass(torch.Tensor)


def test_a_device_without_float64():
    """The unit is applied on the CPU."""
    output = torch.ones(1, 2).as_subclass(OnMPS)
    with pytest.raises(TypeError, match="float64"):
        output.double()
    predicted = task().predicted(output)
    assert predicted.tolist() == [[110.0, -3.0]] and predicted.dtype == torch.float64


def test_the_table_shows_a_millionth_of_the_spread():
    """And six digits of what is smaller than the spread."""
    assert in_digits(1e9 + 2.34567891, 1.0) == "1000000002.345679"
    assert in_digits(0.00012345678, 10.0) == "0.000123457"
    assert in_digits(-123.456789, 10.0) == "-123.45679"
    assert [in_digits(value, 1.0) for value in (0.0, math.inf, math.nan)] == ["0", "inf", "nan"]
    assert in_digits(0.1, 1e-30) == "0.10000000000000001"


def test_data_without_units_are_left_alone():
    """No mean and no standard deviation in the spec."""
    module = task(data_spec=DataSpec(num_targets=2))
    assert module.predicted(torch.ones(1, 2)).tolist() == [[1.0, 1.0]]
    assert module.prediction_table(torch.ones(1, 2))[1] == [[1.0, 1.0]]


def test_quantiles_rise_and_the_median_is_measured():
    """Three for each target, in its unit; crossed ones are put in order."""
    module = task([0.1, 0.5, 0.9])
    output = torch.tensor([[0.0, 3.0, 1.0, -1.0, 0.0, 1.0]])
    assert module.predicted(output).tolist() == [[[100.0, 110.0, 130.0], [-7.0, -5.0, -3.0]]]
    assert module.measured(output, torch.zeros(1, 2))[0].tolist() == [[110.0, -5.0]]


def test_the_table_names_targets_and_quantiles():
    """One column for each number."""
    assert task().prediction_table(torch.ones(3, 2))[0] == ["price", "weight"]
    columns, rows = task([0.5, 0.9]).prediction_table(torch.arange(4.0).view(1, 2, 2))
    assert columns == ["price_q0.5", "price_q0.9", "weight_q0.5", "weight_q0.9"]
    assert rows == [["0", "1", "2", "3"]]
    module = task(data_spec=DataSpec(num_targets=2))
    assert module.prediction_table(torch.ones(1, 2))[0] == ["target_0", "target_1"]


def test_data_without_numbers_are_refused():
    """The message says what is missing."""
    with pytest.raises(DataError, match="publishes no num_targets"):
        Regression.complete(DataSpec(num_classes=3))


@pytest.mark.parametrize(("quantiles", "text"), [([0.1, 0.9], "lack 0.5"), ([2.0], "rising")])
def test_impossible_quantiles_are_refused(quantiles, text):
    """Before anything is built."""
    with pytest.raises(InvalidValueError, match=text):
        Regression.complete(SPEC, quantiles=quantiles)


def test_batches_that_do_not_fit_are_refused():
    """Classes instead of numbers, a wrong width, and the wrong loss."""
    with pytest.raises(DataError, match=r"needs targets \(B, K\) float32, the data gives \(6,\)"):
        task().check_batch((BATCH[0], torch.zeros(6).long()))
    with pytest.raises(ConfigError, match="gives 3 scores, the data has 2 targets"):
        task(model=nn.Linear(4, 3)).check_batch(BATCH)
    with pytest.raises(ConfigError, match="the loss cannot compare"):
        task([0.1, 0.5, 0.9], loss=MSELoss()).check_batch(BATCH)
    task([0.1, 0.5, 0.9]).check_batch(BATCH)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (CrossEntropyLoss(), "cannot compare .* it needs classes"),
        (BinaryCrossEntropyLoss(), r"which is not in \[0, 1\]"),
        (WeightedSum([BinaryCrossEntropyLoss()]), r"which is not in \[0, 1\]"),
    ],
)
def test_losses_of_classes_and_labels_are_refused(loss, message):
    """Of numbers one was 0 everywhere, the other below 0."""
    with pytest.raises(ConfigError, match=message):
        task(loss=loss).check_batch(BATCH)


def test_its_state_holds_no_unit():
    """It comes from the data spec, so that weights fit other data of the same shape."""
    assert not [name for name in task().state_dict() if "target" in name]


def test_predicted_quantiles_cover_their_share():
    """Noise whose spread grows with x: 80 % of new targets lie between the 0.1 and 0.9 quantiles,
    and the interval widens."""
    torch.manual_seed(0)
    x = torch.rand(4000, 1) * 2
    y = x + x * torch.randn(4000, 1)
    spec = DataSpec(num_features=1, num_targets=1)
    module = task([0.1, 0.5, 0.9], nn.Sequential(nn.Linear(1, 32), nn.ReLU(), nn.Linear(32, 3)),
                  data_spec=spec)  # fmt: skip
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    for _ in range(300):
        rows = torch.randint(0, 3000, (256,))
        optimizer.zero_grad()
        module.loss(module(x[rows]), y[rows]).backward()
        optimizer.step()
    with torch.no_grad():
        low, _, high = module.predicted(module(x[3000:]))[:, 0].unbind(-1)
    inside = ((y[3000:, 0] > low) & (y[3000:, 0] < high)).float().mean()
    assert 0.72 < float(inside) < 0.88
    width, order = (high - low).numpy(), np.argsort(x[3000:, 0].numpy())
    assert width[order[-200:]].mean() > 3 * width[order[:200]].mean()


def test_double_precision_stays():
    """With quantiles as without: metrics of a training in float64 are in float64."""
    output = torch.rand(3, 6, dtype=torch.float64).sort().values
    expected = output.view(3, 2, 3) * torch.tensor([[10.0], [2.0]]) + torch.tensor(
        [[100.0], [-5.0]]
    )
    found = task([0.1, 0.5, 0.9]).double().predicted(output)
    torch.testing.assert_close(found, expected, rtol=1e-15, atol=0)
