"""Which loss prefers right outputs."""

import math

import torch
from torch.nn.functional import mse_loss

from dlplug.testing.answers import exact, objection


def draw():
    target = torch.randn(4, 1)
    return exact(torch.zeros(4, 1), target), target


def test_a_loss_prefers_what_is_right_or_gets_an_objection():
    """NaN is no preference, and neither is a loss that is the same for all."""
    assert objection(mse_loss, draw) is None
    assert "0, of wrong" in objection(lambda output, target: output.sum() * 0, draw)
    assert "nan" in objection(lambda output, target: output.sum() * math.nan, draw)
