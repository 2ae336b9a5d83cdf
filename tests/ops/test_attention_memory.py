"""What the backward pass reads of its sums it has written: its memory begins as NaN."""

import ctypes
import math

import pytest
import torch

from dlplug import ops
from tests.ops.attention_cases import each_isa, make_inputs, oracle, with_gradients

M_PERTURB, NAN_BYTES, AS_IT_IS = -6, 0x100, 0  # mallopt fills with the complement of a low byte


@pytest.fixture
def memory_of_nan():
    """All that the C library gives out, the kernels' scratch and torch's tensors, holds NaN."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt") or not library.mallopt(M_PERTURB, NAN_BYTES):
        pytest.skip("this C library does not fill what it gives out")
    library.aligned_alloc.restype = ctypes.c_void_p
    library.aligned_alloc.argtypes = (ctypes.c_size_t, ctypes.c_size_t)
    library.free.argtypes = (ctypes.c_void_p,)
    try:
        for count in (1 << 12, 1 << 20):  # of the heap, and of pages of its own
            found = library.aligned_alloc(64, 4 * count)
            floats = list((ctypes.c_float * count).from_address(found))
            library.free(found)
            if not all(map(math.isnan, floats)):
                pytest.skip("another allocator has taken the C library's place")
        yield
    finally:
        library.mallopt(M_PERTURB, AS_IT_IS)


def starts(*positions):
    return torch.tensor(positions, dtype=torch.int32)


def blocks_seen(queries, keys):
    """A bool mask by blocks of 64 queries and 256 keys: the first of each row is hidden whole."""
    seen = torch.zeros(queries, keys, dtype=torch.bool)
    seen[64:128, 256:] = True
    seen[128:, :200] = True
    return seen


# Queries, keys and options: what the first block of a chunk, or any block of it, does not see.
CASES = {
    "everything": (70, 300, {}),
    "causal": (200, 300, {"is_causal": True}),
    "keys beyond the last query": (70, 700, {"is_causal": True}),
    "queries before the first key": (200, 300, {"is_causal": True, "query_offset": -90}),
    "queries far behind the last key": (
        200,
        300,
        {"is_causal": True, "window": 40, "query_offset": 250},
    ),
    "nothing": (70, 300, {"is_causal": True, "query_offset": -500}),
    "a window": (300, 300, {"is_causal": True, "window": 5}),
    "a window ahead": (130, 600, {"window": (0, 3), "query_offset": 300}),
    "documents": (300, 300, {"cu_seqlens": starts(0, 7, 7, 70, 290, 300)}),
    "causal documents": (
        600,
        600,
        {"cu_seqlens": starts(0, 0, 300, 600, 600), "is_causal": True, "window": 20},
    ),
    "hidden blocks": (200, 520, {"attn_mask": blocks_seen(200, 520)}),
    "all hidden": (70, 300, {"attn_mask": torch.zeros(70, 300, dtype=torch.bool)}),
    "hidden keys of a learnt mask": (
        130,
        520,
        {"attn_mask": torch.zeros(130, 520).masked_fill(~blocks_seen(130, 520), -math.inf)},
    ),
    "few queries": (3, 700, {"window": (5, 5), "query_offset": 300}),
    "few queries with everything": (
        2,
        70,
        {"softcap": 3.0, "alibi_slopes": torch.tensor([0.5, 0.1])},
    ),
    "passes over the queries": (900, 900, {"is_causal": True, "window": 90}),
    "passes that see nothing": (900, 900, {"is_causal": True, "query_offset": -700}),
    "passes with documents": (
        900,
        900,
        {"cu_seqlens": starts(0, 130, 130, 500, 900), "alibi_slopes": torch.tensor([0.5, 0.1])},
    ),
}


@each_isa
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", CASES)
def test_no_sum_is_read_before_it_is_written(cpu_kernels, memory_of_nan, isa, dtype, case):
    """Outputs and gradients, one key head for two query heads: those of the definition."""
    queries, keys, options = CASES[case]
    # Widths of less than a vector, and of several.
    for width, value_width, groups in ((12, 20, 1), (20, 3, 2)):
        *tensors, grad = make_inputs(1, 2, groups, queries, keys, width, value_width, dtype)
        with ops.use_isa(isa):
            found = with_gradients(ops.attention, tensors, grad, enable_gqa=True, **options)
        true = oracle(tensors, grad, enable_gqa=True, **options)
        tolerance = 1e-5 if dtype == torch.float32 else 0.02
        for mine, exact in zip(found, true, strict=True):
            assert mine.isfinite().all()
            size = max(1.0, exact.abs().max().item())
            if mine.shape == (2,):  # of the slopes, by distances of up to 900
                size = max(size, 2000.0)
            assert (mine.double() - exact).abs().max() <= tolerance * size


@each_isa
@pytest.mark.parametrize("queries, keys", [(0, 5), (5, 0), (0, 0)])
def test_no_queries_or_no_keys(cpu_kernels, memory_of_nan, isa, queries, keys):
    """The operators themselves: ``attention`` computes these in plain PyTorch."""
    query, key, value, grad = make_inputs(1, 2, 2, queries, keys, 4, 4)
    options = (None, None, None, None, 0.0, 1.0, None, None, None, 0)
    with ops.use_isa(isa):
        out, lse = torch.ops.dlplug.attention_forward(query, key, value, None, *options)
        found = torch.ops.dlplug.attention_backward(
            grad, query, key, value, out, lse, False, False, *options
        )
    assert all(x.eq(0).all() for x in (out, *found[:3]))
    assert [x.shape for x in found[:3]] == [query.shape, key.shape, value.shape]
