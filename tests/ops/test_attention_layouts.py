"""Attention of tensors of any shape and layout, and what the results' bits depend on."""

import math
import os

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dlplug import ops
from dlplug.bench.memory import peak_growth
from dlplug.ops.fallback import philox
from tests.ops.attention_cases import (
    DTYPES,
    draw,
    each_isa,
    make_inputs,
    naive,
    oracle,
    with_gradients,
)


def features():
    length = st.integers(1, 9)
    return st.fixed_dictionaries(
        {
            "sizes": st.tuples(st.integers(1, 2), length, length, length, length),
            "heads": st.sampled_from([(1, 1), (2, 2), (4, 2), (3, 1)]),
            "dtype": st.sampled_from(DTYPES),
            "isa": st.sampled_from(ops.isas() or ["none"]),
            "is_causal": st.booleans(),
            "query_offset": st.sampled_from([0, 0, 2, -3]),
            "window": st.one_of(
                st.none(), st.tuples(*[st.one_of(st.none(), st.integers(0, 4))] * 2)
            ),
            "softcap": st.sampled_from([None, 0.7, 30.0]),
            "scale": st.sampled_from([None, 0.9, -1.0]),
            "dropout_p": st.sampled_from([0.0, 0.0, 0.4]),
            "sinks": st.booleans(),
            "alibi": st.booleans(),
            "packed": st.booleans(),
            "mask": st.sampled_from([None, "bool", "float", "like query"]),
            "mask_is_whole": st.tuples(*[st.booleans()] * 4),  # along batch, heads, queries, keys
            "layout": st.sampled_from(["BHSD", "BSHD", "wide", "expanded"]),
        }
    )


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(features())
def test_any_product_of_features_agrees_with_the_definition(case):
    """Random shapes, strides, dtypes and extras against a float64 loop over the queries."""
    if not ops.isas():
        pytest.skip("no compiled CPU kernels here")
    batch, queries, keys, width, value_width = case["sizes"]
    heads, groups = case["heads"]
    options = {name: case[name] for name in ("is_causal", "softcap", "scale", "dropout_p")}
    if case["packed"]:
        batch, keys = 1, queries
        middle = queries // 2
        options["cu_seqlens"] = torch.tensor([0, middle, queries], dtype=torch.int32)
    *tensors, grad = make_inputs(batch, heads, groups, queries, keys, width, value_width)
    tensors = [_laid_out(x.to(case["dtype"]), case["layout"]) for x in tensors]
    grad = grad.to(case["dtype"])
    if case["window"] is not None and not case["packed"]:
        options["window"] = case["window"]
    if case["sinks"]:
        options["sinks"] = draw(heads)
    if case["alibi"]:
        options["alibi_slopes"] = draw(heads).abs()
    if case["mask"] is not None:
        scores = (batch, heads, queries, keys)
        whole = zip(scores, case["mask_is_whole"], strict=True)
        bias = draw(*(size if is_whole else 1 for size, is_whole in whole), seed=5)
        seen = draw(*bias.shape, seed=6) > -0.7
        bias = bias.masked_fill(~seen, -math.inf)
        if case["mask"] == "like query":
            bias = bias.to(case["dtype"])
        options["attn_mask"] = seen if case["mask"] == "bool" else bias
    is_positional = options["is_causal"] or options.get("window", (None, None)) != (None, None)
    if (is_positional or case["alibi"]) and not case["packed"]:
        options["query_offset"] = case["query_offset"]
    torch.manual_seed(7)
    seed = philox.draw_seed() if case["dropout_p"] else None
    torch.manual_seed(7)
    with ops.use_backend("cpu"), ops.use_isa(case["isa"]):
        found = with_gradients(ops.attention, tensors, grad, enable_gqa=True, **options)
    doubled = {
        name: x.double() if isinstance(x, torch.Tensor) and x.is_floating_point() else x
        for name, x in options.items()
    }
    true = with_gradients(naive, [x.double() for x in tensors], grad.double(), seed=seed, **doubled)
    tolerance = {torch.float32: 2e-6, torch.bfloat16: 0.04, torch.float16: 5e-3}[case["dtype"]]
    for a, b in zip(found, true, strict=True):
        size = max(1.0, b.abs().max().item())
        assert (a.double() - b).abs().max() <= 4 * tolerance * size


def _laid_out(x, layout):
    if layout == "BSHD":
        return x.transpose(1, 2).contiguous().transpose(1, 2)
    if layout == "wide":  # a slice of wider rows that begin at an odd address
        return F.pad(x, (1, 3))[..., 1:-3]
    if layout == "expanded":
        return x[:1].expand_as(x)
    return x


@each_isa
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_strides_give_the_same_bits(cpu_kernels, isa, dtype):
    """A fused projection's slices, transposed last axes, rows at any address and distance."""
    *tensors, grad = make_inputs(2, 3, 3, 19, 19, 20, 20, dtype)
    fused = torch.stack(tensors).permute(1, 3, 0, 2, 4).contiguous().permute(2, 0, 3, 1, 4)
    column_major = [x.mT.contiguous().mT for x in tensors]
    misaligned = [F.pad(x, (1, 2))[..., 1:-2] for x in tensors]
    shifted = [torch.cat([x.flatten()[:1], x.flatten()])[1:].view(x.shape) for x in tensors]
    with ops.use_isa(isa):
        expected = with_gradients(ops.attention, tensors, grad, is_causal=True)
        for others in (list(fused), column_major, misaligned, shifted):
            leaves = [x.detach().requires_grad_() for x in others]
            out = ops.attention(*leaves, is_causal=True)
            grads = torch.autograd.grad(out, leaves, grad.mT.contiguous().mT)
            for a, b in zip([out, *grads], expected, strict=True):
                assert a.equal(b)


def test_output_is_laid_out_as_torchs(cpu_kernels):
    """Like the query; merging the heads of a projection's result copies nothing."""
    q, k, v, _ = make_inputs(2, 3, 3, 5, 5, 4, 4)
    assert ops.attention(q, k, v).is_contiguous()
    q = q.transpose(1, 2).contiguous().transpose(1, 2)
    out = ops.attention(q, k, v)
    assert out.stride() == F.scaled_dot_product_attention(q, k, v).stride()
    assert out.transpose(1, 2).reshape(2, 5, 12).data_ptr() == out.data_ptr()


@pytest.mark.parametrize("shape", [(5, 8), (3, 5, 8), (2, 2, 3, 5, 8)])
@pytest.mark.parametrize("mode", ["cpu", "reference", "auto"])
def test_two_three_and_five_axes(shape, mode):
    """The leading shapes that torch's own takes, with its result."""
    if mode == "cpu" and not ops.isas():
        pytest.skip("no compiled CPU kernels here")
    q, k, v = (draw(*shape, seed=i) for i in range(3))
    with ops.use_backend(mode):
        found = ops.attention(q, k, v, is_causal=True)
    torch.testing.assert_close(found, F.scaled_dot_product_attention(q, k, v, is_causal=True))


def test_results_have_the_same_bits_for_any_number_of_threads(cpu_kernels):
    """Many heads, and grouped ones with ranges of keys and passes over the queries; dropout."""
    before = torch.get_num_threads()
    cases = [
        ((4, 5, 5, 33, 33, 16, 16), {}),
        ((1, 2, 1, 700, 900, 24, 24), {"dropout_p": 0.2}),
        ((1, 4, 1, 300, 2100, 8, 20), {"query_offset": 1800}),
        ((2, 4, 2, 600, 1030, 17, 8), {"window": 200}),
        ((1, 4, 2, 2, 3100, 24, 24), {"query_offset": 3098}),
        ((1, 1, 1, 30, 3100, 24, 24), {"query_offset": 3000, "window": 1700, "dropout_p": 0.2}),
        ((3, 2, 1, 140, 300, 8, 8), {"attn_mask": draw(140, 300), "alibi_slopes": draw(2)}),
        ((6, 4, 4, 40, 40, 8, 8), {"attn_mask": draw(4, 1, 40)}),
        ((6, 4, 2, 40, 600, 8, 8), {"attn_mask": draw(6, 1, 40, 1).to(torch.bfloat16)}),
    ]
    try:
        for shape, options in cases:
            for dtype in DTYPES:
                *tensors, grad = make_inputs(*shape, dtype)
                mask = options.get("attn_mask")
                if mask is not None and mask.dtype not in (torch.float32, dtype):
                    continue
                results = []
                for threads in (1, 2, 3, 7):
                    torch.set_num_threads(threads)
                    torch.manual_seed(0)
                    results.append(
                        with_gradients(
                            ops.attention, tensors, grad, is_causal=True, enable_gqa=True, **options
                        )
                    )
                for other in results[1:]:
                    assert all(a.equal(b) for a, b in zip(results[0], other, strict=True))
    finally:
        torch.set_num_threads(before)


@each_isa
def test_every_output_element_is_written(cpu_kernels, isa):
    """torch fills fresh memory with NaN in this mode; none is left."""
    *tensors, grad = make_inputs(1, 3, 3, 70, 70, 20, 20)
    torch.use_deterministic_algorithms(True)
    try:
        with ops.use_isa(isa):
            found = with_gradients(ops.attention, tensors, grad, is_causal=True, query_offset=-5)
            packed = torch.tensor([0, 7, 7, 70], dtype=torch.int32)
            found += with_gradients(ops.attention, tensors, grad, cu_seqlens=packed, window=(0, 3))
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(x.isfinite().all() for x in found)


@pytest.mark.parametrize(
    "shapes",
    [((2, 8, 16), (8, 16)), ((40, 16), (3, 40, 16)), ((40, 16), (1, 40, 16))],
    ids=str,
)
def test_numbers_of_axes_may_differ(shapes):
    """Leading sizes broadcast as in PyTorch's own op, also where there are none."""
    query, key = draw(*shapes[0]), draw(*shapes[1])
    expected = F.scaled_dot_product_attention(query, key, key)
    torch.testing.assert_close(ops.attention(query, key, key), expected)


@each_isa
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"is_causal": True},
        {"is_causal": True, "query_offset": -350},
        {"is_causal": True, "window": 90},
        {"window": (30, 500), "softcap": 2.0},
        {"is_causal": True, "window": 3, "query_offset": -2500},
        {"cu_seqlens": torch.tensor([0, 130, 130, 500, 900], dtype=torch.int32)},
        {"is_causal": True, "cu_seqlens": torch.tensor([0, 700, 900], dtype=torch.int32)},
    ],
    ids=str,
)
def test_passes_over_the_queries_add_up(cpu_kernels, isa, dtype, options):
    """Gradients of few long heads, whose keys are split into ranges, whatever the passes see."""
    *tensors, grad = make_inputs(1, 2, 1, 900, 900, 12, 20, dtype)
    with ops.use_isa(isa):
        found = with_gradients(ops.attention, tensors, grad, enable_gqa=True, **options)
    true = oracle(tensors, grad, enable_gqa=True, **options)
    tolerance = 1e-5 if dtype == torch.float32 else 0.02
    for a, b in zip(found, true, strict=True):
        assert (a.double() - b).abs().max() <= tolerance * max(1.0, b.abs().max().item())


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="the peak of memory cannot be reset"
)
def test_the_backward_of_grouped_heads_takes_bounded_memory(cpu_kernels):
    """Not a copy of the queries' gradient for each of 16 ranges of keys, but two in all."""
    *tensors, grad = make_inputs(1, 16, 1, 1024, 4096, 64, 64)
    leaves = [x.requires_grad_() for x in tensors]
    out = ops.attention(*leaves, enable_gqa=True)
    growth = peak_growth(lambda: torch.autograd.grad(out, leaves, grad, retain_graph=True))
    # The gradient itself, its shares, and as much again for keys and scratch.
    assert growth <= 5 * leaves[0].nbytes


LENGTH = 8192  # a byte for each of its scores would be 64 MiB; pages of other things, some MiB
STARTS = torch.arange(0, LENGTH + 1, 128, dtype=torch.int32)


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="the peak of memory cannot be reset"
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "options",
    [
        {"is_causal": True, "window": 256},
        {"is_causal": True, "cu_seqlens": STARTS},
        {"alibi_slopes": torch.ones(1), "softcap": 3.0, "sinks": torch.ones(1)},
        {"is_causal": True, "dropout_p": 0.1},
        {"attn_mask": torch.zeros(1, 1, 1, LENGTH, requires_grad=True)},
    ],
    ids=lambda options: " ".join(options),
)
def test_nothing_grows_with_the_square_of_the_length(cpu_kernels, dtype, options):
    """Forward and backward of every feature, the gradient of a broadcast mask too."""
    *tensors, grad = make_inputs(1, 1, 1, LENGTH, LENGTH, 8, 8, dtype)
    leaves = [x.requires_grad_() for x in tensors]
    learnt = [x for x in options.values() if isinstance(x, torch.Tensor) and x.requires_grad]
    growth = peak_growth(
        lambda: torch.autograd.grad(ops.attention(*leaves, **options), leaves + learnt, grad)
    )
    assert growth <= LENGTH * LENGTH // 4
