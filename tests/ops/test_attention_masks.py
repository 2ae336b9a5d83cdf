"""Attention with a mask of any kind, and the gradients of float masks and of ALiBi's slopes."""

import math
import os

import pytest
import torch

from dlplug import ops
from dlplug.bench.memory import peak_growth
from tests.ops.attention_cases import (
    DTYPES,
    assert_within_twice,
    draw,
    each_isa,
    make_inputs,
    oracle,
    with_gradients,
)
from tests.ops.attention_exactness import mask_shapes

BATCH, HEADS, QUERIES, KEYS = 2, 4, 70, 300
MASKS = mask_shapes(BATCH, HEADS, QUERIES, KEYS)


def make_mask(kind, shape, dtype):
    bias = draw(*shape, seed=5)
    seen = draw(*shape, seed=6) > -0.5
    if kind == "bool":
        return seen
    bias = bias.masked_fill(~seen, -math.inf) if kind == "hiding" else bias
    return bias.to(dtype) if kind == "like query" else bias


@each_isa
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["bool", "float", "hiding", "like query"])
def test_masks_round_at_most_twice_as_much(cpu_kernels, isa, dtype, kind):
    """Every shape of mask, alone and with all extras; peer: the reference in that dtype."""
    *tensors, grad = make_inputs(BATCH, HEADS, 2, QUERIES, KEYS, 12, 20, dtype)
    extras = {
        "softcap": 3.0,
        "alibi_slopes": torch.tensor([0.1, 0.7, 0.0, 0.02]),
        "sinks": torch.tensor([0.5, 3.0, -1.0, 0.0]),
        "dropout_p": 0.2,
        "window": (200, 40),
        "query_offset": 30,
    }
    for shape in MASKS:
        for options in ({}, extras):
            options = {**options, "attn_mask": make_mask(kind, shape, dtype), "enable_gqa": True}
            results = []
            for mode in ("cpu", "reference"):
                torch.manual_seed(3)
                with ops.use_backend(mode), ops.use_isa(isa):
                    results.append(with_gradients(ops.attention, tensors, grad, **options))
            torch.manual_seed(3)
            true = oracle(tensors, grad, **options)
            # Sums of 140 terms for a sink, 300 or more for the mask, with distances for a slope.
            units = [32.0, 64.0, 2000.0]
            if "sinks" not in options:
                units = units[1:]
            elif kind == "bool":
                units = units[::2]
            assert_within_twice(results[0], true, results[1], 16.0, units)


@each_isa
def test_a_mask_says_what_the_extras_say(cpu_kernels, isa):
    """Causal, a window, documents and ALiBi written as masks, over several blocks and chunks."""
    *tensors, grad = make_inputs(1, 2, 2, 530, 530, 8, 8)
    i, j = torch.arange(530)[:, None], torch.arange(530)
    starts = torch.tensor([0, 5, 300, 530], dtype=torch.int32)
    document = torch.searchsorted(starts, torch.arange(530), right=True)
    slopes = torch.tensor([0.5, 0.01])
    cases = [
        ({"is_causal": True}, i >= j),
        ({"is_causal": True, "window": 40}, (i >= j) & (i - j < 40)),
        ({"cu_seqlens": starts}, document[:, None] == document),
        ({"alibi_slopes": slopes}, -slopes[:, None, None] * (i - j).abs()),
    ]
    for options, mask in cases:
        with ops.use_isa(isa):
            expected = with_gradients(ops.attention, tensors, grad, **options)
            found = [with_gradients(ops.attention, tensors, grad, attn_mask=mask)]
            if mask.dtype == torch.bool:
                bias = torch.zeros(mask.shape).masked_fill(~mask, -math.inf)
                found.append(with_gradients(ops.attention, tensors, grad, attn_mask=bias))
        for result in found:
            for a, b in zip(result[:4], expected[:4], strict=True):
                torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@each_isa
@pytest.mark.parametrize("kind", ["bool", "float"])
def test_a_row_that_is_masked_out_gives_zero_and_gradient_zero(cpu_kernels, isa, kind):
    """Single rows, a whole block of rows, and all rows of one head; also in the mask's gradient."""
    *tensors, grad = make_inputs(1, 2, 2, 150, 270, 8, 8)
    seen = draw(1, 2, 150, 270) > 0
    seen[0, 0, 3] = seen[0, 0, 64:140] = seen[0, 1] = False
    mask = seen if kind == "bool" else torch.zeros(seen.shape).masked_fill(~seen, -math.inf)
    with ops.use_isa(isa):
        out, *grads = with_gradients(ops.attention, tensors, grad, attn_mask=mask)
    is_blind = ~seen.any(-1)
    assert out[is_blind].eq(0).all() and out[~is_blind].ne(0).all()
    assert grads[0][is_blind].eq(0).all() and grads[0][~is_blind].ne(0).any()
    assert all(x[:, 1].eq(0).all() for x in grads)
    assert all(x.isfinite().all() for x in grads)
    if kind == "float":
        assert grads[3][~seen].eq(0).all() and grads[3][seen].ne(0).any()


@pytest.mark.parametrize("mode", ["auto", "reference"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_small_calls_give_zero_for_masked_rows_too(mode, dtype):
    """Where PyTorch's own op takes the call, rows that see nothing and learn nothing are 0."""
    *tensors, grad = make_inputs(1, 1, 1, 3, 4, 8, 8, dtype)
    seen = torch.tensor([[True], [False], [True]])
    for mask in (seen, torch.zeros(3, 1).masked_fill(~seen, -math.inf)):
        with ops.use_backend(mode):
            out, *grads = with_gradients(ops.attention, tensors, grad, attn_mask=mask)
        assert out[0, 0, 1].eq(0).all() and grads[0][0, 0, 1].eq(0).all()
        assert all(x.isfinite().all() for x in grads)


@each_isa
@pytest.mark.parametrize("dtype", DTYPES)
def test_masks_of_any_strides_give_the_same_bits(cpu_kernels, isa, dtype):
    """Slices of wider rows of NaN at odd addresses, transposed, expanded, every second key."""
    *tensors, grad = make_inputs(2, 2, 2, 19, 37, 8, 8, dtype)
    bias = draw(2, 1, 19, 37)
    row = draw(2, 1, 1, 37)
    column = draw(2, 1, 19, 1)
    wide = torch.full((2, 1, 21, 43), math.nan)
    wide[:, :, 1:-1, 1:-5] = bias
    spaced = torch.full((2, 1, 19, 74), math.nan)
    spaced[..., ::2] = bias
    cases = [
        (bias, [wide[:, :, 1:-1, 1:-5], bias.mT.contiguous().mT, spaced[..., ::2]]),
        (row, [row.expand(2, 2, 19, 37)]),
        (column, [column.expand(2, 2, 19, 37), column.expand(2, 1, 19, 37)]),
    ]
    for plain, others in cases:
        for same in (lambda x: x, lambda x: x > 0, lambda x: x.to(dtype)):
            with ops.use_isa(isa):
                expected = with_gradients(ops.attention, tensors, grad, attn_mask=same(plain))
                for other in others:
                    leaves = [x.detach().requires_grad_() for x in tensors]
                    out = ops.attention(*leaves, same(other))
                    grads = torch.autograd.grad(out, leaves, grad)
                    for a, b in zip([out, *grads], expected[:4], strict=True):
                        assert a.equal(b)


@each_isa
def test_every_element_of_the_gradients_is_written(cpu_kernels, isa):
    """torch fills fresh memory with NaN in this mode; hidden blocks leave zeros, not that."""
    *tensors, grad = make_inputs(2, 2, 1, 70, 300, 8, 8)
    torch.use_deterministic_algorithms(True)
    try:
        for shape in ((2, 2, 70, 300), (70, 300), (1, 300), (70, 1), (1, 1)):
            mask = make_mask("hiding", shape, torch.float32)
            mask[..., mask.size(-1) // 2 :] = -math.inf
            slopes = {"alibi_slopes": draw(2)}
            with ops.use_isa(isa):
                found = with_gradients(
                    ops.attention, tensors, grad, attn_mask=mask, enable_gqa=True, **slopes
                )
            assert all(x.isfinite().all() for x in found)
    finally:
        torch.use_deterministic_algorithms(False)


@each_isa
def test_what_a_mask_hides_from_whole_blocks_is_not_computed(cpu_kernels, isa):
    """NaN in keys and values that no query sees does not show; neither does it behind padding."""
    *tensors, grad = make_inputs(1, 1, 1, 130, 600, 8, 8)
    seen = torch.ones(130, 600, dtype=torch.bool)
    seen[:, 256:] = False
    seen[70:, :512] = False
    for x in tensors[1:3]:
        x[:, :, 256:512] = math.nan
        x[:, :, 512:] = 0
    for mask in (seen, torch.zeros(130, 600).masked_fill(~seen, -math.inf), seen[:1]):
        with ops.use_isa(isa):
            found = with_gradients(ops.attention, tensors, grad, attn_mask=mask)
        assert all(x.isfinite().all() for x in found)


def test_nan_and_infinity_in_a_mask_go_where_they_go_in_torch(cpu_kernels):
    """A NaN makes its row NaN, +inf too; as the formula has it."""
    *tensors, _ = make_inputs(1, 1, 1, 5, 40, 8, 8)
    mask = torch.zeros(5, 40)
    mask[1, 3], mask[2, 39] = math.nan, math.inf
    found = ops.attention(*tensors, mask)
    scores = tensors[0] @ tensors[1].mT / math.sqrt(8) + mask
    torch.testing.assert_close(found, torch.softmax(scores, -1) @ tensors[2], equal_nan=True)


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="the peak of memory cannot be reset"
)
def test_the_gradient_of_a_mask_takes_its_own_size(cpu_kernels):
    """A mask that 8 heads share: neither is it expanded nor its gradient."""
    *tensors, grad = make_inputs(2, 4, 4, 1500, 1500, 8, 8)
    mask = draw(1500, 1500).requires_grad_()
    growth = peak_growth(lambda: torch.autograd.grad(ops.attention(*tensors, mask), mask, grad))
    assert growth <= 1.5 * mask.nbytes + 40 * grad.nbytes


@each_isa
@pytest.mark.parametrize("batch,queries", [(1, 2), (1, 1), (8, 1)])
def test_few_queries_skip_what_a_mask_hides(cpu_kernels, batch, queries, isa):
    """Grouped heads that see other keys each, whole ranges of NaN that none sees, a blind head."""
    *tensors, _ = make_inputs(batch, 4, 1, queries, 1600, 8, 8)
    seen = draw(batch, 4, queries, 1600) > 0
    seen[:, 0, :, :700] = False
    seen[:, 1, 0] = False
    seen[:, 2] = False
    seen[..., 512:1100] = False
    clean = [x.clone() for x in tensors]
    for x in tensors[1:]:
        x[:, :, 512:1024] = math.nan
    for options in ({}, {"sinks": draw(4)}):
        with ops.use_isa(isa):
            found = ops.attention(*tensors, seen, enable_gqa=True, **options)
        with ops.use_backend("reference"):
            true = ops.attention(*clean, seen, enable_gqa=True, **options)
        torch.testing.assert_close(found, true)
        assert found[0, 2].eq(0).all() and found[0, 1, 0].eq(0).all()


def test_a_float32_mask_is_added_to_float64_scores():
    """PyTorch's own op, which takes such calls, is given the mask in their dtype."""
    query, key, value, _ = make_inputs(1, 2, 2, 40, 60, 16, 16, torch.float64)
    mask = draw(40, 60, seed=5)
    expected = (query @ key.mT / 4 + mask.double()).softmax(-1) @ value
    torch.testing.assert_close(ops.attention(query, key, value, mask), expected)
    hidden = torch.ones(40, 60, dtype=torch.bool).triu(1)
    expected = (query @ key.mT / 4 + mask.double()).masked_fill(hidden, -math.inf).softmax(-1)
    found = ops.attention(query, key, value, mask, is_causal=True)
    torch.testing.assert_close(found, expected @ value)
