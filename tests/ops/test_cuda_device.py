"""The CUDA kernels on a GPU: what the emulation's tests hold, and what only a device has."""

import pytest
import torch

from dlplug import ops
from tests.ops.gpu import assert_replays, needs_gpu
from tests.ops.gpu_memory import needs_memory
from tests.ops.norm_cases import (
    ADD_LAYER_NORM,
    ADD_RMS_NORM,
    EMPTY,
    EPS,
    LAYER_NORM,
    RMS_NORM,
    assert_as_good_as_torch,
    drawn_gradients,
    each_dtype,
    outputs_and_gradients,
    outputs_of,
)
from tests.ops.test_cuda_norms import SHAPES, WIDE, check_strides, each_norm, each_residual_norm

pytestmark = needs_gpu
# Beyond what Hopper's shared memory holds of a row in float32, in 16 bits, and what a cluster does.
WIDEST = [(300, 60_000), (3, 120_000), (3, 140_001)]


@pytest.fixture(autouse=True)
def cuda_kernels():
    """A call that the kernels do not take is an error, so that no test passes by falling back."""
    with ops.use_backend("cuda"):
        yield


def on_gpu(norm, *arguments):
    return [tensor.cuda() for tensor in norm.draw(*arguments)]


@each_norm
@each_dtype
def test_as_good_as_torch(norm, dtype):
    """Outputs and gradients are at most twice as far from float64 as PyTorch's own."""
    assert_as_good_as_torch(norm, [*SHAPES, *WIDE, *WIDEST, (4096, 768)], dtype, device="cuda")


@each_residual_norm
def test_a_narrow_block_joins_a_wide_stream(norm):
    """bfloat16 x and float32 residual: the sum and its norm are float32."""
    shapes = [(5, 7), (300, 192), (2, 8200)]
    assert_as_good_as_torch(norm, shapes, torch.bfloat16, torch.float32, device="cuda")


@each_norm
@each_dtype
def test_any_strides_give_the_contiguous_result(norm, dtype):
    """Of inputs and of gradients."""
    check_strides(norm, dtype, "cuda")


@each_norm
def test_autocast_gives_float32(norm):
    """Also of a float32 stream; the sum keeps its dtype."""
    for dtype in (torch.bfloat16, torch.float32):
        inputs = on_gpu(norm, (300, 192), torch.bfloat16, dtype)
        with torch.autocast("cuda", torch.bfloat16), ops.use_backend("auto"):
            found = outputs_of(norm.ours(*inputs, eps=EPS))
        dtypes = [torch.float32, dtype][: len(found)]
        assert [output.dtype for output in found] == dtypes
        expected = outputs_of(norm.torch(*[tensor.float() for tensor in inputs], eps=EPS))
        # Where the sum is of 16 bits, so is its rounding.
        for mine, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(mine.float(), theirs, rtol=2e-2, atol=2e-2)


@each_norm
def test_passes_every_opcheck(norm):
    """Schema, autograd registration, fake tensors and traced graphs."""
    inputs = [t.requires_grad_() for t in on_gpu(norm, (3, 4, 10), torch.bfloat16)]
    op = getattr(torch.ops.dlplug, norm.kernel).default
    arguments = [*inputs, None, EPS, 0.0] if norm.has_residual else [*inputs, EPS]
    assert set(torch.library.opcheck(op, tuple(arguments)).values()) == {"SUCCESS"}


@each_norm
def test_compiles_in_one_graph(norm, compiler):
    """With the eager results and gradients."""
    inputs = on_gpu(norm, (6, 4, 48))
    found = outputs_and_gradients(torch.compile(norm.ours, fullgraph=True), inputs)
    expected = outputs_and_gradients(norm.ours, inputs)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@each_norm
@pytest.mark.parametrize("shape", EMPTY, ids=str)
def test_empty_tensors(norm, shape):
    """No elements give no elements, and gradients of weights that are 0."""
    found = outputs_and_gradients(norm.ours, on_gpu(norm, shape))
    expected = outputs_and_gradients(norm.reference, norm.draw(shape))
    torch.testing.assert_close([t.cpu() for t in found], expected, rtol=0, atol=0)


@each_dtype
def test_the_dropout_mask_is_the_cpu_s(dtype):
    """For one seed both drop the same elements, and h is the same."""
    x, residual, weight, bias = ADD_LAYER_NORM.draw((300, 192), dtype)
    seed = torch.tensor(2**62 + 12345)
    inputs = (x, residual, weight, bias, seed)
    forward = torch.ops.dlplug.add_layer_norm_forward
    expected = forward(*inputs, EPS, 0.3)[1]
    found = forward(*(t.cuda() for t in inputs), EPS, 0.3)[1]
    torch.testing.assert_close(found.cpu(), expected, rtol=torch.finfo(dtype).eps, atol=1e-6)


@each_norm
def test_the_same_bits_on_every_run(norm):
    """Sums over rows have one order."""
    inputs = on_gpu(norm, (5000, 384), torch.bfloat16)
    once, again = (outputs_and_gradients(norm.ours, inputs) for _ in range(2))
    assert all(map(torch.equal, once, again))


@each_norm
def test_the_current_stream_is_used(norm):
    """Work queued on another stream is waited for by that stream alone."""
    inputs = on_gpu(norm, (512, 512))
    expected = outputs_of(norm.ours(*inputs, eps=EPS))
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        late = [torch.zeros_like(t) for t in inputs]
        torch.cuda._sleep(100_000_000)
        for to, tensor in zip(late, inputs, strict=True):
            to.copy_(tensor)
        found = outputs_of(norm.ours(*late, eps=EPS))
    stream.synchronize()
    assert all(map(torch.equal, found, expected))


@each_norm
def test_a_cuda_graph_replays_forward_and_backward(norm):
    """Nothing waits for the device: a capture that did would raise."""
    inputs = [t.requires_grad_() for t in on_gpu(norm, (64, 192))]

    def run():
        outputs = outputs_of(norm.ours(*inputs, eps=EPS))
        return [*outputs, *torch.autograd.grad([t.sum() for t in outputs], inputs)]

    assert_replays(run)


@pytest.mark.parametrize("norm", [LAYER_NORM, RMS_NORM, ADD_RMS_NORM], ids=str)
def test_more_elements_than_32_bits_count(norm):
    """The last rows of 2^31 + 2^20 elements are as those rows alone, forward and backward."""
    needs_memory(60)
    times, width = 2**12 + 2, 1024
    few = on_gpu(norm, (512, width), torch.bfloat16)
    many = [t.repeat(times, 1) if t.dim() == 2 else t for t in few]
    results = []
    for inputs, count in ((few, 1), (many, times)):
        leaves = [t.requires_grad_() for t in inputs]
        outputs = outputs_of(norm.ours(*leaves, eps=EPS))
        grads = [t.repeat(count, 1) for t in drawn_gradients([t[:512] for t in outputs])]
        results.append([*outputs, *torch.autograd.grad(outputs, leaves, grads)])
    for once, found in zip(*results, strict=True):
        if once.dim() == 2:
            assert found.numel() > 2**31 and torch.equal(found[-512:], once)
        else:  # of a weight: a sum over all rows, rounded twice
            limit = 2 * torch.finfo(torch.bfloat16).eps * once.abs().max().item()
            torch.testing.assert_close(found / times, once, rtol=0, atol=limit)


def test_total_norm_of_more_elements_than_32_bits_count():
    """The last ones are in it, and each once."""
    needs_memory(8)
    many = torch.zeros(2**31 + 2**20, dtype=torch.bfloat16, device="cuda")
    many[-4:] = 1
    assert ops.total_norm([many]) == 2
    many.fill_(1)
    assert ops.total_norm([many]) == torch.tensor(many.numel(), dtype=torch.float64).sqrt().float()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_total_norm_is_that_of_float64(dtype):
    """Of tensors with no element, with one, with tails and of several chunks; on the device."""
    tensors = [torch.randn(n, device="cuda").to(dtype) for n in (15, 1, 0, 40_001, 3_000_000)]
    found = ops.total_norm(tensors)
    assert found.is_cuda and found == torch.cat([t.double() for t in tensors]).norm().float()
