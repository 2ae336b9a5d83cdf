"""Weights that no optimizer gets are told by their shapes."""

import pytest
import torch
from torch import nn

from dlplug.errors import ConfigError
from dlplug.tasks.unregistered_parameters import unregistered_parameters
from tests.tasks.trainable import Net, check


class Listed(Net):
    def __init__(self):
        super().__init__()
        self.bodies = [nn.Linear(64, 64)]

    def forward(self, x):
        return super().forward(self.bodies[0](x))


def test_weights_in_a_plain_list_are_refused():
    """With what to put them into."""
    with pytest.raises(ConfigError, match="2 weights that the architecture's output") as error:
        check(Listed())
    assert "nn.ModuleList" in error.value.fix and "(64, 64), (64,)" in error.value.what
    assert error.value.where == "architecture a, data b"


def test_only_what_the_model_has_not_is_found():
    """In every part of an output; frozen weights need no optimizer."""
    model, other, frozen = Net(), nn.Linear(64, 10), nn.Linear(64, 10).requires_grad_(False)
    x = torch.zeros(2, 64)
    output = {"own": model(x), "parts": [other(x), frozen(x)]}
    assert [id(p) for p in unregistered_parameters(output, model)] in (
        [id(other.weight), id(other.bias)],
        [id(other.bias), id(other.weight)],
    )
    assert unregistered_parameters(model(x), model) == []
