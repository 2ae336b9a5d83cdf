"""Keys that no query sees are not multiplied, not even by 0: NaN and infinity stay where they are.

As of a cache that is not full, or of another document. A product of bfloat16 takes two keys at a
time, one of tiles up to 32: what is seen ends, and begins, anywhere in them.
"""

import math
from contextlib import ExitStack

import pytest
import torch

from dlplug import ops
from tests.ops.attention_cases import DTYPES, draw, make_inputs, with_gradients
from tests.ops.emulated_tiles import emulated_tiles, needs_tiles

EMULATED = pytest.param("tiles", marks=needs_tiles)
TERMS = {
    "plain": {},
    "mask": {"attn_mask": torch.zeros(1)},
    "all": {"softcap": 5.0, "alibi_slopes": torch.tensor([0.1, 0.7]), "dropout_p": 0.2},
}
# Queries of three blocks, of one that is not full, and so few that keys are read as they lie.
QUERIES = [150, 33, 3, 1]
KEYS = 300  # in two ranges, of one chunk each or, where few are seen, two


def found(isa, tensors, grad, options):
    """The output and all gradients, of the masks and slopes too."""
    torch.manual_seed(0)
    with ExitStack() as stack:
        stack.enter_context(ops.use_backend("cpu"))
        stack.enter_context(emulated_tiles() if isa == "tiles" else ops.use_isa(isa))
        return with_gradients(ops.attention, tensors, grad, **options)


def positions(queries: int) -> list[tuple[dict, int, int]]:
    """Options, the first key that is seen and one past the last; of either parity."""
    cases = []
    for more in range(4):
        end = 160 + more
        cases.append(({"is_causal": True, "query_offset": end - queries}, 0, end))
        offset = 37 + more  # of a window
        begin, end = offset - 20, min(offset + queries + 9, KEYS)
        cases.append(({"window": (20, 9), "query_offset": offset}, begin, end))
    return cases


@pytest.mark.parametrize("isa", [*ops.isas(), EMULATED])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("terms", TERMS)
def test_keys_beside_those_that_are_seen_change_no_bit(cpu_kernels, isa, dtype, terms):
    """Outputs and gradients are those beside keys and values of 0."""
    for queries in QUERIES:
        for options, begin, end in positions(queries):
            *tensors, grad = make_inputs(1, 2, 2, queries, KEYS, 20, 24, dtype)
            outside = [slice(0, begin), slice(end, KEYS)]
            results = []
            for filling in (0.0, math.nan, math.inf):
                for x in tensors[1:]:
                    for rows in outside:
                        x[:, :, rows] = filling
                results.append(found(isa, tensors, grad, TERMS[terms] | options))
            for other in results[1:]:
                assert all(map(torch.equal, other, results[0])), (queries, options)


@pytest.mark.parametrize("isa", [*ops.isas(), EMULATED])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("terms", TERMS)
def test_keys_of_other_documents_change_no_bit(cpu_kernels, isa, dtype, terms):
    """Where a border of queries is one of blocks or steps, and one of keys lies anywhere."""
    queries = 128  # in two blocks of 64, of four steps each
    for border, key_border in ((64, 63), (64, 65), (48, 78), (112, 7)):
        starts = torch.tensor([0, border, queries], dtype=torch.int32)
        key_starts = torch.tensor([0, key_border, KEYS], dtype=torch.int32)
        options = TERMS[terms] | {"cu_seqlens": starts, "cu_seqlens_k": key_starts}
        rows = [slice(0, border), slice(border, queries)]
        keys = [slice(0, key_border), slice(key_border, KEYS)]
        for own, other in ((0, 1), (1, 0)):
            *tensors, grad = make_inputs(1, 2, 2, queries, KEYS, 20, 24, dtype)
            results = []
            for filling in (0.0, math.nan, math.inf):
                for x in tensors[1:]:
                    x[:, :, keys[other]] = filling
                all_rows = found(isa, tensors, grad, options)
                parts = (rows[own], rows[own], keys[own], keys[own])
                results.append([x[:, :, part] for x, part in zip(all_rows, parts, strict=False)])
            for result in results[1:]:
                assert all(map(torch.equal, result, results[0])), (border, key_border)


@pytest.mark.parametrize("isa", [*ops.isas(), EMULATED])
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_memory_beyond_a_tensor_are_not_read(cpu_kernels, isa, dtype):
    """Of odd numbers of queries and keys that are parts of tensors of NaN: the copies' bits."""
    for queries, keys in ((33, 45), (63, 257), (129, 31), (3, 45)):
        wide = [draw(1, 2, 320, 24, dtype=dtype, seed=seed) for seed in range(4)]
        parts = []
        for x, rows in zip(wide, (queries, keys, keys, queries), strict=True):
            parts.append(x[:, :, 7 : 7 + rows, :20])
            kept = parts[-1].clone()
            x.fill_(math.nan)
            parts[-1].copy_(kept)
        results = []
        for *tensors, grad in (parts, [x.clone() for x in parts]):
            leaves = [x.detach().requires_grad_() for x in tensors]
            with ExitStack() as stack:
                stack.enter_context(ops.use_backend("cpu"))
                stack.enter_context(emulated_tiles() if isa == "tiles" else ops.use_isa(isa))
                out = ops.attention(*leaves)
                results.append([out, *torch.autograd.grad(out, leaves, grad)])
        assert all(x.isfinite().all() for x in results[0])
        assert all(map(torch.equal, *results))
