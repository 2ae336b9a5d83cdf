"""The CUDA kernel of total_norm, run by the emulation of ``csrc/emulation``."""

from array import array

import pytest
import torch

from dlplug import ops
from dlplug.ops._device_table import DeviceTable
from dlplug.ops.total_norm import norm_on_device
from tests.ops.emulation import emulated, launches, needs_emulation

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


def test_one_launch_finds_it_and_leaves_its_table_as_it_was():
    """With the same addresses nothing is written again: a graph's replay is such a launch."""
    tensors, kept = drawn(), DeviceTable()
    columns = [[t.data_ptr() for t in tensors], SIZES, [0] * len(SIZES)]
    columns = tuple(array("q", column) for column in columns)
    for order in (0, 1, 5):
        with emulated(order), launches() as count:
            found = norm_on_device([columns], kept, tensors[0].device)
        assert found.float() == exact(tensors)
        assert count == [1 if order else 2]  # and one that writes the table
        tensors[0].mul_(3)
