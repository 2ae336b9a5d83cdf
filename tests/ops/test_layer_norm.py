"""LayerNorm: what holds for every norm, and its own."""

import pytest
import torch
import torch.nn.functional as F

from dlplug import ops
from tests.ops.norm_cases import LAYER_NORM, error, outputs_and_gradients
from tests.ops.norm_properties import NormProperties, needs_kernels


class TestLayerNorm(NormProperties):
    norm = LAYER_NORM


@needs_kernels
def test_few_elements_are_left_to_torch_and_explained():
    """Below a measured size PyTorch's own op runs, sooner without a backward pass than with one."""
    small, medium, large = (torch.randn(rows, 192) for rows in (10, 300, 1000))
    assert ops.explain("layer_norm", small).backend == "torch"
    assert "faster for so few" in str(ops.explain("layer_norm", small))
    assert ops.explain("layer_norm", medium).backend == "cpu"
    assert ops.explain("layer_norm", medium.requires_grad_()).backend == "torch"
    assert ops.explain("layer_norm", large.requires_grad_()).backend == "cpu"
    with ops.use_backend("cpu"):
        assert ops.explain("layer_norm", small).backend == "cpu"


@needs_kernels
def test_weight_gradients_in_bfloat16_are_better_than_torch_s():
    """Sums over many rows are kept in float32; PyTorch's CPU kernel loses digits there."""
    inputs = LAYER_NORM.draw((4096, 64), torch.bfloat16)
    with ops.use_backend("cpu"):
        ours = outputs_and_gradients(LAYER_NORM.ours, inputs)
    theirs = outputs_and_gradients(LAYER_NORM.torch, inputs)
    oracle = outputs_and_gradients(LAYER_NORM.reference, [t.double() for t in inputs])
    for weight_or_bias in (2, 3):
        mine = error(ours[weight_or_bias], oracle[weight_or_bias])
        assert mine < error(theirs[weight_or_bias], oracle[weight_or_bias])


def test_a_bias_needs_no_weight():
    """A bias alone shifts, and gets a gradient."""
    x, bias = torch.randn(4, 6), torch.randn(6, requires_grad=True)
    for mode in ("auto", "reference", *(["cpu"] if ops.isas() else [])):
        with ops.use_backend(mode):
            y = ops.layer_norm(x, None, bias)
            torch.testing.assert_close(y, F.layer_norm(x, (6,), None, bias))
            (grad,) = torch.autograd.grad(y.sum(), bias)
            torch.testing.assert_close(grad, torch.full((6,), 4.0))


def test_weight_and_bias_share_a_dtype():
    """Mixed parameters are refused as in PyTorch."""
    x = torch.randn(2, 4, dtype=torch.bfloat16)
    with pytest.raises(TypeError, match=r"weight is torch.float32, but bias is torch.bfloat16"):
        ops.layer_norm(x, torch.ones(4), torch.zeros(4, dtype=torch.bfloat16))


@needs_kernels
def test_outputs_beyond_32_mib_are_whole():
    """Outputs whose memory is asked for in huge pages equal PyTorch's, at an odd size."""
    x = torch.randn(8_700, 1_001)
    assert x.nbytes > 32 << 20
    y = ops.layer_norm(x)
    torch.testing.assert_close(y, F.layer_norm(x, (1_001,)), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
# torch's own compiler scripts modules when it is imported.
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_inductor_compiles_it():
    """The default compiler gives the eager results and gradients."""
    inputs = LAYER_NORM.draw((8, 5, 32))
    compiled = torch.compile(LAYER_NORM.ours, fullgraph=True)
    found = outputs_and_gradients(compiled, inputs)
    expected = outputs_and_gradients(LAYER_NORM.reference, inputs)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
