"""LayerNorm: what holds for every norm, and its own."""

import pytest
import torch
import torch.nn.functional as F

from dlplug import ops
from tests.ops.norm_cases import (
    ADD_LAYER_NORM,
    EPS,
    LAYER_NORM,
    each_isa,
    error,
    outputs_and_gradients,
    outputs_of,
)
from tests.ops.norm_properties import NormProperties, needs_kernels


class TestLayerNorm(NormProperties):
    norm = LAYER_NORM


@needs_kernels
def test_few_elements_are_left_to_torch_and_explained():
    """Below a measured size PyTorch's own op runs, sooner without a backward pass than with one."""
    small, medium, large = (torch.randn(rows, 192) for rows in (300, 600, 3000))
    narrow = medium[:300].bfloat16()
    assert ops.explain("layer_norm", small).backend == "torch"
    assert "faster for so few" in str(ops.explain("layer_norm", small))
    assert ops.explain("layer_norm", medium).backend == "cpu"
    assert ops.explain("layer_norm", narrow).backend == "cpu"
    assert ops.explain("layer_norm", medium.requires_grad_()).backend == "torch"
    assert ops.explain("layer_norm", large.requires_grad_()).backend == "cpu"
    with ops.use_backend("cpu"):
        assert ops.explain("layer_norm", small).backend == "cpu"


@needs_kernels
@each_isa
@pytest.mark.parametrize("norm", [LAYER_NORM, ADD_LAYER_NORM], ids=str)
def test_weight_gradients_in_bfloat16_are_sums_in_float32(isa, norm):
    """Within 0.5 % of the largest over 16,384 rows, where PyTorch's kernel is off by over 5 %."""
    inputs = norm.draw((16384, 64), torch.bfloat16)
    with ops.use_backend("cpu"), ops.use_isa(isa):
        ours = outputs_and_gradients(norm.ours, inputs)
    theirs = outputs_and_gradients(norm.torch, inputs)
    oracle = outputs_and_gradients(norm.reference, [t.double() for t in inputs])
    for weight_or_bias in (-2, -1):
        scale = oracle[weight_or_bias].abs().max().item()
        assert error(ours[weight_or_bias], oracle[weight_or_bias]) < 0.005 * scale
        assert error(theirs[weight_or_bias], oracle[weight_or_bias]) > 0.05 * scale


@needs_kernels
@each_isa
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize("norm", [LAYER_NORM, ADD_LAYER_NORM], ids=str)
def test_a_far_first_part_costs_wide_rows_no_accuracy(norm, dtype, isa):
    """The mean may be 500 standard deviations from a row's first numbers: no digit is lost."""
    width = 1 << 20
    drawn = torch.randn(width, generator=torch.Generator().manual_seed(0))
    for first, far, scale in [(4, 1000, 0), (4, 1000, 1), (16, 333, 0), (16, 1000, 1), (0, 0, 1)]:
        x = (drawn * scale + far).to(dtype)[None]
        x[:, :first] = 0
        inputs = [x, torch.zeros_like(x)][: 1 + norm.has_residual]
        true = outputs_of(norm.reference(*(t.double() for t in inputs), eps=EPS))[0]
        theirs = outputs_of(norm.torch(*inputs))[0]
        with ops.use_backend("cpu"), ops.use_isa(isa):
            ours = outputs_of(norm.ours(*inputs, eps=EPS))[0]
        ulp = torch.finfo(dtype).eps * true.abs().max().item()
        assert error(ours, true) <= 2 * error(theirs, true) + ulp, (first, far, scale)


@needs_kernels
@each_isa
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize("norm", [LAYER_NORM, ADD_LAYER_NORM], ids=str)
def test_a_row_s_bits_do_not_depend_on_its_neighbours(norm, dtype, isa):
    """Rows with a far first part, which are measured twice, beside usual ones: as each alone."""
    x = norm.draw((13, 700), dtype)[0]
    x[::3, :16] += 1000
    forward = getattr(torch.ops.dlplug, norm.kernel)

    def outputs(x):
        if norm.has_residual:
            return forward(x, torch.zeros_like(x), None, None, None, EPS, 0.0)
        return forward(x, None, None, EPS)

    with ops.use_isa(isa):
        together = outputs(x)
        alone = [outputs(row[None]) for row in x]
    *rows, stats = zip(*alone, strict=True)
    for found, expected in zip(together, [*map(torch.cat, rows), torch.cat(stats, 1)], strict=True):
        assert torch.equal(found.flatten(), expected.flatten())


def test_a_bias_needs_no_weight():
    """A bias alone shifts, and gets a gradient."""
    x, bias = torch.randn(4, 6), torch.randn(6, requires_grad=True)
    for mode in ("auto", "reference", *(["cpu"] if ops.isas() else [])):
        with ops.use_backend(mode):
            y = ops.layer_norm(x, None, bias)
            torch.testing.assert_close(y, F.layer_norm(x, (6,), None, bias))
            (grad,) = torch.autograd.grad(y.sum(), bias)
            torch.testing.assert_close(grad, torch.full((6,), 4.0))


@pytest.mark.parametrize("rows", [3, 3000])
@pytest.mark.parametrize("mode", ["auto", "reference"])
def test_a_wide_bias_alone_gets_a_gradient(rows, mode):
    """float32 beside 16-bit inputs, where the backward pass of PyTorch's own op raises."""
    x = torch.randn(rows, 16, dtype=torch.bfloat16, requires_grad=True)
    bias = torch.randn(16, requires_grad=True)
    with ops.use_backend(mode):
        for y in (ops.layer_norm(x, None, bias), ops.add_layer_norm(x, x, None, bias)[0]):
            grad_x, grad_bias = torch.autograd.grad(y.sum(), (x, bias))
            torch.testing.assert_close(grad_bias, torch.full((16,), float(rows)))
            assert grad_x.dtype is torch.bfloat16 and grad_x.isfinite().all()


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
