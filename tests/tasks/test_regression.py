"""Regression: units, quantiles, tables of predictions, and that it learns."""

import numpy as np
import pytest
import torch
from torch import nn

from dlplug.data.spec import DataSpec
from dlplug.errors import ConfigError, DataError, InvalidValueError
from dlplug.losses.mse import MSELoss
from dlplug.losses.quantile import QuantileLoss
from dlplug.tasks.regression import Regression

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


def test_data_without_units_are_left_alone():
    """No mean and no standard deviation in the spec."""
    module = task(data_spec=DataSpec(num_targets=2))
    assert module.predicted(torch.ones(1, 2)).tolist() == [[1.0, 1.0]]


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
    assert rows == [[0.0, 1.0, 2.0, 3.0]]
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
