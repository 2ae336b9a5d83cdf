"""Residual addition + LayerNorm: what holds for every such op, and its own."""

import torch

from dlplug import ops
from tests.ops.norm_cases import ADD_LAYER_NORM, each_isa
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


@needs_kernels
@each_isa
def test_equal_numbers_have_no_variance_below_zero(isa):
    """The mean is a rounding off, by a hundred million: what is left may not be its square."""
    x = torch.full((255,), -1077123708092416.0)
    with ops.use_backend("cpu"), ops.use_isa(isa):
        for width in range(200, 256):
            y, _ = ops.add_layer_norm(x[:width], torch.zeros(width))
            assert y.isfinite().all() and ops.layer_norm(x[:width]).isfinite().all()
