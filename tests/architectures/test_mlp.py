"""MLP: sizes of the input, layers, refusals."""

import pytest
import torch
from torch import nn

from dlplug.architectures.mlp import MLP
from dlplug.errors import InvalidValueError


def test_it_is_linear_layers_with_relus_between():
    """The scores equal those of the same layers written out."""
    model = MLP(num_outputs=3, num_features=4, hidden=[5])
    first, second = (m for m in model.modules() if isinstance(m, nn.Linear))
    x = torch.randn(7, 4)
    assert torch.equal(model(x), second(first(x).relu()))
    assert (first.in_features, first.out_features, second.out_features) == (4, 5, 3)


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({"num_features": 64}, (2, 64)),
        ({"num_features": 64, "in_channels": 1, "image_size": 8}, (2, 1, 8, 8)),
        ({"in_channels": 3, "image_size": 8}, (2, 3, 8, 8)),
        ({"in_channels": 1, "image_size": (4, 6)}, (2, 1, 4, 6)),
    ],
)
def test_rows_and_images_are_both_records(arguments, shape):
    """Images are flattened, and their pixels counted when nobody gives the number of features."""
    assert MLP(num_outputs=3, **arguments)(torch.randn(shape)).shape == (2, 3)


def test_no_hidden_layer_is_a_linear_model():
    """One matrix and one bias."""
    assert len(list(MLP(num_outputs=3, num_features=4, hidden=[]).parameters())) == 2


def test_dropout_acts_while_training_only():
    """Two passes differ in training and agree in evaluation."""
    model = MLP(num_outputs=3, num_features=4, dropout=0.5)
    x = torch.randn(8, 4)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_an_unknown_input_size_is_refused():
    """The message says what would be enough."""
    with pytest.raises(InvalidValueError, match="size of the input is unknown") as error:
        MLP(num_outputs=3, in_channels=1)
    assert "num_features, or in_channels and image_size" in str(error.value)


@pytest.mark.parametrize("arguments", [{"dropout": 1.0}, {"hidden": [0]}])
def test_values_out_of_range_are_refused(arguments):
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match="dropout = "):
        MLP(num_outputs=3, num_features=4, **arguments)
