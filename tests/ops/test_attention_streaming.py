"""Outputs of attention so large that the CPU kernels write them past the caches."""

import pytest
import torch

from dlplug import ops
from tests.ops.attention_cases import DTYPES, each_isa, make_inputs, with_gradients

# 2.2 million numbers each: 4.4 MB of a 16-bit dtype, where the caches are left from 4 MiB on.
BATCH, HEADS, LENGTH, WIDTH = 33, 16, 65, 64


@each_isa
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("is_transposed", [False, True])
def test_large_outputs_have_the_bits_of_small_ones(cpu_kernels, isa, dtype, is_transposed):
    """Output and gradients of a batch are those of its parts, also where rows lie apart."""
    sizes = (BATCH, HEADS, HEADS, LENGTH, LENGTH, WIDTH, WIDTH)
    *tensors, grad = make_inputs(*sizes, dtype=dtype)
    if is_transposed:
        tensors = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in tensors]
    assert grad.numel() * grad.element_size() > 4 << 20
    with ops.use_isa(isa):
        whole = with_gradients(ops.attention, tensors, grad, is_causal=True)
        for part in (slice(0, 1), slice(16, 18), slice(32, 33)):
            small = [x[part] for x in tensors]
            expected = with_gradients(ops.attention, small, grad[part], is_causal=True)
            for large, alone in zip(whole, expected, strict=True):
                assert torch.equal(large[part], alone)
