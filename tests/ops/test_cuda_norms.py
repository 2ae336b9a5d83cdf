"""The norms' CUDA kernels, run by the emulation of ``csrc/emulation``."""

from contextlib import contextmanager

import pytest
import torch

from dlplug import ops
from tests.ops.emulation import HOPPER_SHARED_MEMORY, device, emulated, needs_emulation
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

pytestmark = needs_emulation

each_norm = pytest.mark.parametrize(
    "norm", [LAYER_NORM, RMS_NORM, ADD_LAYER_NORM, ADD_RMS_NORM], ids=str
)
each_residual_norm = pytest.mark.parametrize("norm", [ADD_LAYER_NORM, ADD_RMS_NORM], ids=str)
# Rows of a part of a warp, of a warp, of a block; whole vectors and odd ones; several rows a block
# and several turns of it.
SHAPES = [
    (3,), (1, 1), (5, 2), (3, 4), (8, 15), (9, 16), (2, 3, 64), (7, 65), (33, 63), (70, 129),
    (300, 24), (4, 192), (3, 1000), (6, 1024), (5, 1032), (2, 2055), (3, 4096),
]  # fmt: skip
# Rows that are wider than what the threads of a block keep in registers.
# The last two, in 16 bits, are 48 KiB of them: with what is static too much to get unasked.
WIDE = [(2, 8195), (3, 16384), (2, 16392), (1, 16401), (1, 24575), (1, 12287)]
# Where such rows are kept, on which device: bytes of shared memory, and whether it has clusters.
PLACES = {
    "shared memory": (HOPPER_SHARED_MEMORY, True),
    "a cluster": (16 << 10, True),
    "memory": (16 << 10, False),
}
in_each_place = pytest.mark.parametrize("place", PLACES)


@each_norm
@each_dtype
def test_as_good_as_torch(norm, dtype):
    """Outputs and gradients are at most twice as far from float64 as PyTorch's own."""
    with emulated():
        assert_as_good_as_torch(norm, SHAPES, dtype)


@each_norm
@each_dtype
@in_each_place
def test_rows_wider_than_the_registers(norm, dtype, place):
    """The same where a block has shared memory for a row, a cluster has it, or nobody has."""
    with emulated(), device(*PLACES[place]):
        assert_as_good_as_torch(norm, WIDE, dtype)


@pytest.mark.parametrize("has_clusters", [True, False])
def test_rows_wider_than_shared_memory_and_clusters(has_clusters):
    """Past what all of Hopper's shared memory holds of one, and what a cluster's registers do."""
    for width in (60_000, 140_000):
        inputs = LAYER_NORM.draw((2, width))
        with emulated(), device(HOPPER_SHARED_MEMORY, has_clusters):
            found = outputs_and_gradients(LAYER_NORM.ours, inputs)
        expected = outputs_and_gradients(LAYER_NORM.reference, inputs)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@each_residual_norm
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_a_narrow_block_joins_a_wide_stream(norm, dtype):
    """16-bit x and float32 residual: the sum and its norm are float32."""
    shapes = [(5, 7), (33, 64), (17, 129), (30, 192), (2, 1032), (2, 8200)]
    with emulated():
        assert_as_good_as_torch(norm, shapes, dtype, torch.float32)


@each_residual_norm
@each_dtype
@pytest.mark.parametrize("is_wide", [False, True], ids=["one dtype", "wide stream"])
@in_each_place
def test_dropout_equals_the_reference_s_for_the_same_seed(norm, dtype, is_wide, place):
    """The kernel draws the mask of csrc/common/philox.h and of the reference, forward and back."""
    stream = torch.float32 if is_wide else dtype
    narrow = [(4, 3), (7, 64), (3, 5, 100), (20, 192), (3, 1048)]
    for shape in [*(narrow if place == "memory" else []), (2, 16_400), (1, 16_401)]:
        inputs = norm.draw(shape, dtype, stream)
        torch.manual_seed(11)
        with emulated(), device(*PLACES[place]):
            found = outputs_and_gradients(norm.ours, inputs, dropout_p=0.3)
        torch.manual_seed(11)
        with ops.use_backend("reference"):
            expected = outputs_and_gradients(norm.ours, inputs, dropout_p=0.3)
        for mine, theirs in zip(found, expected, strict=True):
            scale = theirs.abs().max().item()
            # Two roundings, and sums in another order.
            limit = 2 * torch.finfo(mine.dtype).eps * scale + 1e-5 * (1 + scale)
            torch.testing.assert_close(mine, theirs, rtol=0, atol=limit)


@each_residual_norm
@pytest.mark.parametrize("p", [1e-11, 1.0])
def test_probabilities_at_the_ends(norm, p):
    """Below half of 2^-32 nothing is dropped, at 1 everything is."""
    inputs = norm.draw((6, 30))
    with emulated():
        found = outputs_and_gradients(norm.ours, inputs, dropout_p=p)
    x, *others = inputs
    expected = outputs_and_gradients(norm.reference, [x * (p < 1), *others])
    if p == 1:
        expected[2] = torch.zeros_like(x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def misaligned(tensor):
    return torch.cat([tensor.flatten()[:1], tensor.flatten()])[1:].view(tensor.shape)


def check_strides(norm, dtype, device="cpu"):
    """Slices, transposes, misaligned inputs and gradients equal their copies, to a rounding."""
    layouts = {
        "row stride": lambda x: torch.cat([x, x], -1)[..., : x.shape[-1]],
        "odd row stride": lambda x: torch.cat([x, x[..., :1]], -1)[..., : x.shape[-1]],
        "columns": lambda x: x.repeat_interleave(2, -1)[..., ::2],
        "misaligned rows": misaligned,
        "misaligned weights": misaligned,
        "first axes swapped": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    }
    inputs = [tensor.to(device) for tensor in norm.draw((6, 5, 24), dtype)]
    expected = outputs_and_gradients(norm.ours, inputs)
    for name, layout in layouts.items():
        # Those of rows and of weights by themselves: either one must be seen.
        axes = 1 if name == "misaligned weights" else 3
        leaves = [layout(t) if t.dim() == axes else t.clone() for t in inputs]
        outputs = outputs_of(norm.ours(*(t.requires_grad_() for t in leaves), eps=EPS))
        grads = [layout(grad) if axes == 3 else grad for grad in drawn_gradients(outputs)]
        found = [*outputs, *torch.autograd.grad(outputs, leaves, grads)]
        for mine, theirs in zip(found, expected, strict=True):
            # A rounding, and sums in another order.
            limit = (2 * torch.finfo(dtype).eps + 1e-6) * theirs.abs().max().item()
            torch.testing.assert_close(mine, theirs, rtol=0, atol=limit, msg=name)


@each_norm
@each_dtype
def test_any_strides_give_the_contiguous_result(norm, dtype):
    """Of inputs and of gradients."""
    with emulated():
        check_strides(norm, dtype)


@each_norm
@pytest.mark.parametrize("shape", EMPTY, ids=str)
def test_empty_tensors(norm, shape):
    """No elements give no elements, and gradients of weights that are 0."""
    inputs = norm.draw(shape)
    with emulated():
        found = outputs_and_gradients(norm.ours, inputs)
    expected = outputs_and_gradients(norm.reference, inputs)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@each_norm
@pytest.mark.parametrize("width", [4, 1032, 16_408, 16_401])
def test_no_rows_give_gradients_of_weights_that_are_0(norm, width):
    """Of memory that held something else before, wherever rows of that width are kept."""
    inputs = norm.draw((0, width))
    for place in PLACES.values():
        with emulated(), device(*place), poisoned():
            found = outputs_and_gradients(norm.ours, inputs)
        for gradient in found[-1 - norm.has_bias :]:
            assert torch.equal(gradient, torch.zeros(width))


@contextmanager
def poisoned():
    """Memory that is not written holds NaN."""
    torch.use_deterministic_algorithms(True)
    try:
        with torch.no_grad():
            assert torch.empty(3).isnan().all()
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@each_norm
def test_without_weights(norm):
    """No weight and no bias is a weight of 1 and a bias of 0."""
    inputs = [t for t in norm.draw((9, 40)) if t.dim() == 2]
    with emulated():
        found = outputs_and_gradients(norm.ours, inputs)
    expected = outputs_and_gradients(norm.reference, inputs)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@each_norm
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@in_each_place
def test_the_order_of_threads_changes_no_bit(norm, dtype, place):
    """Forwards, backwards or at random: nothing is read before it is written, no sum is a race."""
    options = {"dropout_p": 0.2} if norm.has_residual else {}
    narrow = [(70, 48), (40, 33), (6, 1032)]
    for shape in [*(narrow if place == "memory" else []), (5, 16_408)]:
        inputs = norm.draw(shape, dtype)
        results = []
        for order in (0, 1, 7, 8):
            torch.manual_seed(3)
            with emulated(order), device(*PLACES[place]):
                results.append(outputs_and_gradients(norm.ours, inputs, **options))
        for other in results[1:]:
            assert all(map(torch.equal, results[0], other)), shape


@each_norm
def test_more_rows_than_blocks(norm):
    """Blocks go on with further rows, each once."""
    few = norm.draw((300, 3))  # 16 rows a block
    many = [t.repeat(220, 1) if t.dim() == 2 else t for t in few]
    assert len(many[0]) > 16 * 4096
    with emulated(), torch.no_grad():
        once, repeated = (outputs_of(norm.ours(*inputs, eps=EPS)) for inputs in (few, many))
    for one, all_of_them in zip(once, repeated, strict=True):
        assert torch.equal(one.repeat(220, 1), all_of_them)


@each_norm
def test_numbers_that_are_not_finite_stay_in_their_row(norm):
    """A row with NaN or infinity gives NaN there, and nothing elsewhere."""
    inputs = norm.draw((5, 20))
    inputs[0][1, 3], inputs[0][3, 7] = float("nan"), float("inf")
    with emulated():
        found = outputs_of(norm.ours(*inputs, eps=EPS))[0]
    expected = outputs_of(norm.torch(*inputs, eps=EPS))[0]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5, equal_nan=True)
    assert found[[0, 2, 4]].isfinite().all() and found[1].isnan().all()


def test_a_row_of_equal_numbers_gives_the_bias():
    """Exactly, though eps alone bounds what its variance of 0 is divided by."""
    x, weight, bias = torch.full((3, 333), 0.1), torch.randn(333), torch.randn(333)
    with emulated():
        (y,) = outputs_of(LAYER_NORM.ours(x, weight, bias, eps=EPS))
    assert torch.equal(y, bias.expand(3, 333))
