"""The copy past the caches."""

import pytest
import torch

from dlplug import ops
from dlplug.ops._stream_copy import _fallback, stream_copy
from tests.ops.norm_cases import each_isa, needs_kernels


@needs_kernels
@each_isa
@pytest.mark.parametrize("numel", [0, 1, 15, 16, 17, 64, 1000, 40_003])
@pytest.mark.parametrize("threads", [1, 2])
def test_it_copies_all_and_no_more(threads, isa, numel):
    """Whole cache lines and what is left."""
    source, memory = torch.randn(numel), torch.full((numel + 16,), 7.0)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with ops.use_isa(isa):
            stream_copy(source, memory[:numel])
    finally:
        torch.set_num_threads(before)
    assert memory[:numel].equal(source) and memory[numel:].eq(7).all()


@needs_kernels
def test_it_refuses_what_it_cannot_copy():
    """Another dtype, stride, size or alignment."""
    line = torch.zeros(64)
    for source, target in [
        (line.double(), line.double()),
        (line[::2], torch.zeros(32)),
        (line, torch.zeros(65)),
        (line[:31], torch.zeros(64)[1:32]),
    ]:
        with pytest.raises(RuntimeError, match="expected"):
            stream_copy(source, target)


def test_without_a_kernel_it_is_a_plain_copy():
    """The fallback, which every device has."""
    source, target = torch.randn(5), torch.zeros(5)
    _fallback(source, target)
    assert target.equal(source)
