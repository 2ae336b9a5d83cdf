"""WeightedSum: the sum, its parameters, and that a config builds the list."""

import pytest
import torch
from torch import nn

from dlplug.config import load
from dlplug.errors import InvalidValueError
from dlplug.losses.focal import FocalLoss
from dlplug.losses.mae import mae
from dlplug.losses.mse import MSELoss, mse
from dlplug.losses.weighted_sum import WeightedSum
from dlplug.plugin import Registry

OUTPUT, TARGET = torch.tensor([[1.0], [4.0]]), torch.tensor([[3.0], [4.0]])


def test_it_adds_modules_and_functions():
    """0.5 * mse + 2 * mae."""
    expected = 0.5 * mse(OUTPUT, TARGET) + 2 * mae(OUTPUT, TARGET)
    assert WeightedSum([MSELoss(), mae], [0.5, 2.0])(OUTPUT, TARGET) == expected
    assert WeightedSum([mse, mae])(OUTPUT, TARGET) == 3.0


def test_the_parameters_of_its_losses_are_its_own():
    """So that they move to the device, are trained and saved."""
    loss = WeightedSum([nn.BCEWithLogitsLoss(pos_weight=torch.ones(1)), mse])
    assert len(list(loss.buffers())) == 1


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [0.0, 0.0]])
def test_weights_that_do_not_fit_are_refused(weights):
    """One for each loss, 0 or more."""
    with pytest.raises(InvalidValueError, match="for 2 losses"):
        WeightedSum([mse, mae], weights)
    with pytest.raises(InvalidValueError, match="there are no losses"):
        WeightedSum([])


def test_a_config_names_the_losses(tmp_path, private_memory):
    """Names and mappings stand in the list, and become losses."""
    (tmp_path / "x.yaml").write_text(
        "architecture: mlp\ndata: digits\noptimizer: adamw\n"
        "loss: {name: weighted_sum, losses: [cross_entropy, {name: focal, gamma: 1}],"
        " weights: [1, 0.5]}\n"
    )
    loss = load([tmp_path / "x.yaml"], [], Registry.discover()).build_task().loss
    assert isinstance(loss.losses[1], FocalLoss) and loss.losses[1].gamma == 1
    assert loss.weights == [1.0, 0.5]
