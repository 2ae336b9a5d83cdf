"""Residual addition + LayerNorm: what holds for every such op, and its own."""

import torch

from dlplug import ops
from tests.ops.norm_cases import ADD_LAYER_NORM
from tests.ops.norm_properties import needs_kernels
from tests.ops.residual_properties import ResidualProperties


class TestAddLayerNorm(ResidualProperties):
    norm = ADD_LAYER_NORM


@needs_kernels
def test_few_elements_are_left_to_torch_unless_they_are_dropped_out():
    """Below a measured size PyTorch's own ops run; its dropout costs more than any call."""
    x = torch.randn(4, 8)
    assert ops.explain(ops.add_layer_norm, x, x).backend == "torch"
    assert ops.explain(ops.add_layer_norm, x, x, dropout_p=0.1).backend == "cpu"
