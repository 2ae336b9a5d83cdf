"""DeadUnits: the share of units that are never active, by layer."""

import pytest
import torch
from torch import nn

from dlplug.callbacks.dead_units import DeadUnits
from dlplug.errors import InvalidValueError


def half_dead():
    """A quarter of the first layer's units can never be active."""
    layer = nn.Linear(64, 16)
    with torch.no_grad():
        layer.bias[:4] = -1e4
    return nn.Sequential(nn.Flatten(), layer, nn.ReLU(), nn.Linear(16, 10))


def test_the_share_is_counted_and_told(task, fit, capsys):
    """A quarter, and the layer's name; once."""
    callback = DeadUnits(warn_above=0.2)
    fit(task(half_dead()), callback)
    assert callback.shares["2"] >= 0.25
    [line] = [x for x in capsys.readouterr().err.splitlines() if x.startswith("dead_units")]
    assert " of the units of 2 were never active in epoch 1; " in line


def test_units_of_images_are_channels(task, fit):
    """A dead channel of a convolution."""
    convolution = nn.Conv2d(1, 4, 3)
    with torch.no_grad():
        convolution.bias[1] = -1e4
    model = nn.Sequential(convolution, nn.GELU(), nn.Flatten(), nn.Linear(4 * 36, 10))
    callback = DeadUnits()
    fit(task(model), callback, max_epochs=1)
    assert callback.shares == {"1": 0.25}


def test_a_living_network_has_none(task, fit, capsys):
    """No word of it."""
    callback = DeadUnits()
    fit(task(), callback)
    assert callback.shares["layers.2"] < 0.5 and "dead_units" not in capsys.readouterr().err


def test_a_network_without_such_modules_is_refused(task, fit):
    """Nothing would be watched."""
    with pytest.raises(InvalidValueError, match="has no nonlinearity that is a module"):
        fit(task(nn.Sequential(nn.Flatten(), nn.Linear(64, 10))), DeadUnits())


def test_a_value_out_of_range_is_refused():
    """The message holds it."""
    with pytest.raises(InvalidValueError, match=r"warn_above = 1.5 is not in \[0, 1\]"):
        DeadUnits(warn_above=1.5)
