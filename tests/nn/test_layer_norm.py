"""LayerNorm as a module."""

import torch

from dlplug.nn import LayerNorm
from tests.nn.norm_modules import NormModuleProperties


class TestLayerNorm(NormModuleProperties):
    ours = LayerNorm
    theirs = torch.nn.LayerNorm
    function = "layer_norm"


def test_the_bias_may_be_left_out():
    """bias=False leaves only a weight, as in torch.nn."""
    module = LayerNorm(6, bias=False)
    assert list(module.state_dict()) == ["weight"]
    x = torch.randn(4, 6)
    torch.testing.assert_close(module(x), torch.nn.LayerNorm(6, bias=False)(x))
