"""freeze: what is trained and what is not."""

import pytest
import torch
from torch import nn

from dlplug.callbacks.ema import EMA
from dlplug.callbacks.freeze import Freeze
from dlplug.errors import InvalidValueError


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10)
    )


def changed(before, module):
    after = module.architecture.state_dict()
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}


def copy(module):
    return {name: t.clone() for name, t in module.architecture.state_dict().items()}


@pytest.mark.parametrize("callback", [Freeze(["1", "2"]), Freeze(["*"], but=["4.*"])])
def test_frozen_weights_and_statistics_stay(task, fit, callback):
    """By the names of modules, or everything but some; also under an average of the weights."""
    module = task(network())
    before = copy(module)
    fit(module, callback, EMA(0.9))
    assert changed(before, module) == {"4.weight", "4.bias"}


def test_parameters_are_named_too(task, fit):
    """A bias alone; the BatchNorm that no pattern names is trained."""
    module = task(network())
    before = copy(module)
    fit(module, Freeze(["4.bias"]))
    assert before.keys() - changed(before, module) == {"4.bias"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Freeze([]), "parameters = []"),
        (lambda: Freeze(["hed"]), "nothing in Network is named 'hed'"),
        (lambda: Freeze(["hed"]), "did you mean 'head'"),
        (lambda: Freeze(["*"]), "every parameter is frozen"),
        (lambda: Freeze(["*"], but=["x"]), "is named 'x'"),
    ],
)
def test_bad_patterns_are_refused(task, fit, make, message):
    """An empty list at once, an unknown name at the start, with what is near."""

    class Network(nn.Sequential):
        pass

    model = Network()
    model.add_module("flatten", nn.Flatten())
    model.add_module("head", nn.Linear(64, 10))
    with pytest.raises(InvalidValueError) as error:
        fit(task(model), make())
    assert message in str(error.value)
