"""LayerNorm as a module."""

import pytest
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


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")  # "in prototype stage"
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_nested_tensors_are_normalised(layout):
    """Each of their parts, as by torch.nn."""
    module, parts = LayerNorm(6), [torch.randn(3, 6), torch.randn(5, 6)]
    torch.nn.init.normal_(module.weight)
    found = module(torch.nested.nested_tensor(parts, layout=layout)).unbind()
    torch.testing.assert_close(found, tuple(map(module, parts)))
