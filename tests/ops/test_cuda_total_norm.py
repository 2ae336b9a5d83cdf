"""The CUDA kernel of total_norm, run by the emulation of ``csrc/emulation``."""

import pytest
import torch

from dlplug import ops
from tests.ops.emulation import emulated, needs_emulation

pytestmark = needs_emulation
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
# Nothing, one, tails, more than a chunk of 32,768 elements.
SIZES = [15, 1, 0, 40_001, 65_536, 9]


def drawn(dtype=torch.float32, scale=1.0, shift=0):
    """Each begins ``shift`` elements after a multiple of 16 bytes."""
    torch.manual_seed(0)
    return [torch.randn(size + shift).mul(scale).to(dtype)[shift:] for size in SIZES]


def exact(tensors):
    return torch.cat([tensor.double() for tensor in tensors]).norm().float()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shift", [0, 1, 3])
def test_it_is_the_norm_in_float64_rounded_once(dtype, shift):
    """Of aligned and misaligned tensors, and of all dtypes together."""
    tensors = drawn(dtype, shift=shift)
    mixed = [t for each in DTYPES for t in drawn(each, shift=shift)]
    with emulated():
        found, of_all = ops.total_norm(tensors), ops.total_norm(mixed)
    assert found.dtype is torch.float32 and found == exact(tensors)
    assert of_all == exact(mixed)


@pytest.mark.parametrize("scale", [1e25, 1e-30])
def test_squares_neither_overflow_nor_vanish(scale):
    """They are made in float64."""
    tensors = drawn(scale=scale)
    with emulated():
        assert ops.total_norm(tensors) == exact(tensors)


def test_more_chunks_than_blocks():
    """A block goes on with its next chunk, in whichever tensor that is."""
    tensors = [torch.ones(5) for _ in range(1_300)] + drawn()
    with emulated():
        assert ops.total_norm(tensors) == exact(tensors)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", [0, 32_767, 40_000])
def test_one_element_that_is_not_finite_shows(value, place):
    """Wherever it is."""
    tensors = drawn()
    tensors[3][place] = value
    with emulated():
        assert not ops.total_norm(tensors).isfinite()


def test_the_order_of_threads_changes_no_bit():
    """Forwards, backwards or at random."""
    tensors = drawn()
    found = []
    for order in (0, 1, 9):
        with emulated(order):
            found.append(ops.total_norm(tensors))
    assert all(torch.equal(found[0], other) for other in found)
