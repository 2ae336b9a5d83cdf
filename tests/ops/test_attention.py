"""Tests of dlplug/ops/attention.py and of its kernels."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dlplug import ops
from dlplug.errors import BackendError
from dlplug.ops.fallback import philox
from tests.ops.attention_cases import (
    DTYPES,
    assert_within_twice,
    draw,
    make_inputs,
    naive,
    plain,
    with_gradients,
)

each_isa = pytest.mark.parametrize("isa", ops.isas())
# batch, heads, key heads, queries, keys, D, E: the smallest, odd ones, around the widths 4, 8, 16,
# the 64 rows of a block, the 256 keys of a chunk and the 512 queries of an item.
SHAPES = [
    (1, 1, 1, 1, 2, 1, 1),
    (2, 3, 3, 5, 7, 3, 5),
    (1, 4, 2, 15, 17, 16, 16),
    (1, 6, 1, 16, 16, 15, 17),
    (3, 1, 1, 17, 15, 33, 31),
    (2, 2, 2, 50, 50, 32, 32),
    (1, 1, 1, 65, 65, 64, 64),
    (1, 2, 2, 197, 197, 64, 64),
    (1, 1, 1, 3, 600, 48, 20),
    (1, 1, 1, 600, 9, 8, 256),
    (1, 1, 1, 130, 257, 256, 8),
]


@pytest.fixture
def cpu_kernels():
    """A call that the kernels do not take is an error, so that no test passes by falling back."""
    if not ops.isas():
        pytest.skip("no compiled CPU kernels here")
    with ops.use_backend("cpu"):
        yield


def oracle(tensors, grad, **options):
    """The reference in float64."""
    doubled = {
        name: x.double() if isinstance(x, torch.Tensor) and x.is_floating_point() else x
        for name, x in options.items()
    }
    with ops.use_backend("reference"):
        return with_gradients(
            ops.attention, [x.double() for x in tensors], grad.double(), **doubled
        )


@each_isa
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("is_causal", [False, True])
def test_rounding_is_at_most_twice_pytorchs(cpu_kernels, isa, dtype, is_causal):
    """Output and gradients for every shape, against the formula written in that dtype."""
    for shape in SHAPES:
        *tensors, grad = make_inputs(*shape, dtype)
        is_grouped = shape[1] != shape[2]
        with ops.use_isa(isa):
            found = with_gradients(
                ops.attention, tensors, grad, is_causal=is_causal, enable_gqa=is_grouped
            )

        def repeated(q, k, v, heads=shape[1], **options):
            return plain(
                q, *(x.repeat_interleave(heads // x.shape[1], 1) for x in (k, v)), **options
            )

        peer = with_gradients(repeated, tensors, grad, is_causal=is_causal)
        true = oracle(tensors, grad, is_causal=is_causal, enable_gqa=is_grouped)
        # The gradient of a query with one visible key is a difference of equal terms.
        assert_within_twice(found, true, peer, unit=8.0)


POSITIONS = {
    "offset": {"is_causal": True, "query_offset": 9},
    "late offset": {"is_causal": True, "query_offset": -3},
    "window": {"is_causal": True, "window": 5},
    "two-sided": {"window": (3, 2), "query_offset": 1},
    "one-sided": {"window": (None, 4)},
    "narrow": {"window": (0, 0)},
    "beyond": {"is_causal": True, "window": 2, "query_offset": 400},
}
TERMS = {
    "softcap": {"softcap": 1.5},
    "scale": {"scale": 0.3},
    "negative scale": {"scale": -0.2},
    "zero scale": {"scale": 0.0},
    "alibi": {"alibi_slopes": torch.tensor([0.5, 0.01])},
    "sinks": {"sinks": torch.tensor([1.0, -2.0])},
    "dropout": {"dropout_p": 0.3},
    "all": {
        "softcap": 2.0,
        "alibi_slopes": torch.tensor([0.1, 0.7]),
        "sinks": torch.tensor([0.5, 3.0]),
        "dropout_p": 0.2,
        "is_causal": True,
        "window": 40,
        "query_offset": 1,
    },
}


@each_isa
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*POSITIONS, *TERMS])
def test_extras_round_at_most_twice_as_much(cpu_kernels, isa, dtype, name):
    """Each extra, and all together, over two chunks of keys; peer: the reference in that dtype."""
    options = (POSITIONS | TERMS)[name]
    *tensors, grad = make_inputs(1, 2, 1, 70, 300, 24, 20, dtype)
    torch.manual_seed(3)
    with ops.use_isa(isa):
        found = with_gradients(ops.attention, tensors, grad, enable_gqa=True, **options)
    torch.manual_seed(3)
    true = oracle(tensors, grad, enable_gqa=True, **options)
    torch.manual_seed(3)
    with ops.use_backend("reference"):
        peer = with_gradients(ops.attention, tensors, grad, enable_gqa=True, **options)
    # The reference sums half precision in float32 and rounds once; so do the kernels, but for the
    # weights, which they round to the dtype for the product with the values.
    assert_within_twice(found, true, peer, unit=16.0)


@each_isa
def test_packed_documents(cpu_kernels, isa):
    """Documents of one token, of none, and over chunk borders, plain and causal with a window."""
    *tensors, grad = make_inputs(1, 2, 2, 600, 600, 16, 16)
    starts = torch.tensor([0, 1, 64, 64, 300, 600], dtype=torch.int32)
    for options in ({}, {"is_causal": True, "window": 70}):
        with ops.use_isa(isa):
            found = with_gradients(ops.attention, tensors, grad, cu_seqlens=starts, **options)
        true = oracle(tensors, grad, cu_seqlens=starts, **options)
        for a, b in zip(found, true, strict=True):
            torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-5)


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
    """A fused projection's slices, transposed last axes, misaligned rows, expanded batches."""
    *tensors, grad = make_inputs(2, 3, 3, 19, 19, 20, 20, dtype)
    fused = torch.stack(tensors).permute(1, 3, 0, 2, 4).contiguous().permute(2, 0, 3, 1, 4)
    column_major = [x.mT.contiguous().mT for x in tensors]
    misaligned = [F.pad(x, (1, 2))[..., 1:-2] for x in tensors]
    with ops.use_isa(isa):
        expected = with_gradients(ops.attention, tensors, grad, is_causal=True)
        for others in (list(fused), column_major, misaligned):
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
    """Many heads, one long head (split into ranges), and dropout."""
    before = torch.get_num_threads()
    cases = [((4, 5, 5, 33, 33, 16, 16), {}), ((1, 2, 1, 700, 900, 24, 24), {"dropout_p": 0.2})]
    try:
        for shape, options in cases:
            for dtype in DTYPES:
                *tensors, grad = make_inputs(*shape, dtype)
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
@pytest.mark.parametrize("dtype", DTYPES)
def test_large_scores_do_not_overflow(cpu_kernels, isa, dtype):
    """Scores of +-1e4 pick the largest key, as in torch."""
    *tensors, grad = make_inputs(1, 2, 2, 20, 300, 16, 16, dtype)
    tensors[0] = tensors[0] * 1000
    with ops.use_isa(isa):
        found = with_gradients(ops.attention, tensors, grad)
    true = oracle(tensors, grad)
    peer = with_gradients(plain, tensors, grad)
    assert all(x.isfinite().all() for x in found)
    assert_within_twice(found[:1], true, peer, unit=4.0)


@each_isa
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_go_where_they_go_in_torch(cpu_kernels, isa, value):
    """In a query, a key or a value: the same outputs are NaN, the others are equal."""
    for which in range(3):
        *tensors, _ = make_inputs(1, 1, 1, 20, 21, 8, 8)
        tensors[which][0, 0, 3, 2] = value
        with ops.use_isa(isa):
            found = ops.attention(*tensors)
        torch.testing.assert_close(found, plain(*tensors), equal_nan=True)


@each_isa
def test_a_query_that_sees_nothing_gives_zero_and_gradient_zero(cpu_kernels, isa):
    """Whole blocks of them, and some within a block, beside NaN keys that nobody sees."""
    for offset in (-3, -200, 500):
        *tensors, grad = make_inputs(1, 2, 2, 150, 150, 8, 8)
        with ops.use_isa(isa):
            out, *grads = with_gradients(
                ops.attention, tensors, grad, is_causal=True, window=2, query_offset=offset
            )
        position = torch.arange(150) + offset
        is_blind = (position < 0) | (position - 1 > 149)
        assert out[:, :, is_blind].eq(0).all()
        assert grads[0][:, :, is_blind].eq(0).all()
        assert all(x.isfinite().all() for x in grads)
        assert out[:, :, ~is_blind].ne(0).all()


def test_scores_of_minus_infinity_only_count_as_seeing_nothing(cpu_kernels):
    """As torch's safe softmax: 0, gradient finite."""
    q, k, v, _ = make_inputs(1, 1, 1, 2, 3, 2, 2)
    q, k = q.abs(), k.abs().neg()
    k[..., 0] = -math.inf
    out = ops.attention(q, k, v)
    assert out.eq(0).all()
    torch.testing.assert_close(out, F.scaled_dot_product_attention(q, k, v))


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


@each_isa
@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_drops_the_same_weights_as_the_reference(cpu_kernels, isa, dtype):
    """One seed, one mask on every backend; keys beyond one block of random numbers."""
    *tensors, _ = make_inputs(2, 2, 2, 5, 140, 8, 8, dtype)
    tensors[0].zero_()  # equal weights: an output shows how many were kept
    tensors[2].fill_(1)
    with ops.use_isa(isa):
        torch.manual_seed(1)
        found = ops.attention(*tensors, dropout_p=0.6)
    torch.manual_seed(1)
    keep = philox.keep_mask(philox.draw_seed(), 2 * 2 * 5, 140, 0.6)
    expected = keep.double().mean(1).view(2, 2, 5, 1) / 0.4
    torch.testing.assert_close(
        found.double(), expected.expand(2, 2, 5, 8), rtol=torch.finfo(dtype).eps * 2, atol=0
    )
    assert ops.attention(*tensors, dropout_p=1.0).eq(0).all()


NUMBERS = (0.0, 0.4, None, None, 0, 0)  # dropout_p, scale, softcap, left, right, query_offset


@pytest.mark.parametrize("dtype", DTYPES)
def test_opcheck_of_both_operators(dtype):
    """Schema, fake kernel, autograd registration and tracing with dynamic shapes."""
    q, k, v, grad = make_inputs(2, 4, 2, 5, 6, 8, 7, dtype)
    sinks, slopes = draw(4), draw(4).abs()
    options = (slopes, None, torch.tensor(4), 0.2, 0.4, 1.5, 3, None, 1)
    for sink, option in ((None, (None, None, None, *NUMBERS)), (sinks, options)):
        torch.library.opcheck(
            torch.ops.dlplug.attention_forward.default,
            (*(x.detach().requires_grad_() for x in (q, k, v)), sink, *option),
        )
        out, lse = torch.ops.dlplug.attention_forward(q, k, v, sink, *option)
        torch.library.opcheck(
            torch.ops.dlplug.attention_backward.default, (grad, q, k, v, out, lse, *option)
        )


@pytest.mark.parametrize(
    ("mode", "is_dynamic"), [("auto", False), ("auto", True), ("reference", False)]
)
def test_compiles_without_a_graph_break(mode, is_dynamic):
    """Forward and backward under compile equal the eager ones, with extras and with dropout."""
    torch._dynamo.reset()
    *tensors, grad = make_inputs(2, 4, 2, 5, 6, 8, 7)

    def run(q, k, v, sinks):
        a = ops.attention(q, k, v, is_causal=True, enable_gqa=True, dropout_p=0.2)
        return a + ops.attention(q, k, v, sinks=sinks, softcap=2.0, enable_gqa=True)

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager", dynamic=is_dynamic)
    with ops.use_backend(mode):
        results = []
        for function in (run, compiled):
            torch.manual_seed(0)
            results.append(with_gradients(function, tensors, grad, sinks=draw(4)))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


class Causal(torch.nn.Module):
    def forward(self, q, k, v):
        return ops.attention(q, k, v, is_causal=True, window=3)


def test_exports_as_one_operator_or_as_plain_aten():
    """The operator itself with kernels at hand; under `reference` nothing but aten."""
    q, k, v, _ = make_inputs(1, 2, 2, 5, 5, 8, 8)
    for mode, names in (("auto", {"dlplug"}), ("reference", {"aten"})):
        if mode == "auto" and not ops.isas():
            continue
        with ops.use_backend(mode):
            program = torch.export.export(Causal(), (q, k, v))
            torch.testing.assert_close(program.module()(q, k, v), Causal()(q, k, v))
        targets = [node.target for node in program.graph.nodes if node.op == "call_function"]
        overloads = [x for x in targets if isinstance(x, torch._ops.OpOverload)]
        assert {target.namespace for target in overloads} == names


@pytest.mark.parametrize("mode", ["auto", "reference"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_gives_torchs_dtype(mode, dtype):
    """Plain and with extras; float64 stays; mixed inputs are cast to one dtype."""
    q, k, v, _ = make_inputs(1, 2, 2, 5, 5, 8, 8)
    with torch.autocast("cpu", dtype), ops.use_backend(mode):
        for inputs in (
            (q, k, v),
            (q, k.bfloat16(), v.half()),
            (q.double(), k.double(), v.double()),
        ):
            expected = F.scaled_dot_product_attention(*inputs)
            for options in ({}, {"softcap": 1e6}):
                found = ops.attention(*inputs, **options)
                assert found.dtype == expected.dtype
                torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_transforms_of_functions_agree_with_torch():
    """vmap and torch.func.grad in eager and compiled code, forward mode."""
    q, k, v, _ = make_inputs(3, 2, 2, 5, 5, 8, 8)
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=True)

    def run(q, k, v):
        return ops.attention(q, k, v, is_causal=True)

    def gradient(q):
        return torch.func.grad(lambda q: run(q, k, v).square().sum())(q)

    leaf = q.clone().requires_grad_()
    (true_gradient,) = torch.autograd.grad(run(leaf, k, v).square().sum(), leaf)
    for compiled in (False, True):
        torch._dynamo.reset()
        mapped, differentiated = torch.vmap(run), gradient
        if compiled:
            mapped, differentiated = (
                torch.compile(f, fullgraph=True, backend="aot_eager") for f in (mapped, gradient)
            )
        torch.testing.assert_close(mapped(q, k, v), expected)
        torch.testing.assert_close(differentiated(q), true_gradient, rtol=1e-4, atol=1e-5)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(q, torch.ones_like(q))
        tangent = torch.autograd.forward_ad.unpack_dual(run(dual, k, v)).tangent
    nudged = (run(q + 1e-2, k, v) - run(q - 1e-2, k, v)) / 2e-2
    torch.testing.assert_close(tangent, nudged, rtol=1e-2, atol=1e-2)


def test_double_backward_equals_the_references(cpu_kernels):
    """Through queries, keys, values and sinks, with dropout and grouped heads."""
    *tensors, grad = make_inputs(1, 4, 2, 5, 6, 8, 7)

    def second_order(mode):
        leaves = [x.clone().requires_grad_() for x in (*tensors, draw(4))]
        torch.manual_seed(2)
        with ops.use_backend(mode):
            out = ops.attention(
                *leaves[:3], sinks=leaves[3], dropout_p=0.2, is_causal=True, enable_gqa=True
            )
            first = torch.autograd.grad(out, leaves, grad, create_graph=True)
        return torch.autograd.grad(sum(x.square().sum() for x in first), leaves)

    for a, b in zip(second_order("cpu"), second_order("reference"), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_arguments_that_are_one_tensor_get_their_gradient_once(cpu_kernels):
    """With create_graph too, self-attention on one tensor and shared keys count no path twice."""
    x = draw(1, 2, 20, 16).requires_grad_()
    for arguments in ((x, x, x), (x.sin(), x.cos(), x.cos()), (x, 2 * x, x)):
        gradients = []
        for create_graph in (False, True):
            out = ops.attention(*arguments).square().sum()
            (grad,) = torch.autograd.grad(out, x, create_graph=create_graph, retain_graph=True)
            gradients.append(grad.detach())
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


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


def test_only_some_inputs_need_gradients(cpu_kernels):
    """Gradients of the others stay None; a frozen key or value costs no error, once or twice."""
    for needed in range(3):
        *tensors, grad = make_inputs(1, 2, 2, 5, 6, 8, 8)
        tensors[needed].requires_grad_()
        out = ops.attention(*tensors)
        (first,) = torch.autograd.grad(out, tensors[needed], grad, create_graph=True)
        if needed < 2:  # the output is linear in the values
            torch.autograd.grad(first.sum(), tensors[needed])
        assert [x.grad is None for x in tensors] == [True] * 3


def test_what_the_kernels_do_not_take_falls_back_and_is_right():
    """Masks, float64, wide heads, broadcast batches, slopes that learn, no keys."""
    q, k, v, _ = make_inputs(2, 2, 2, 5, 6, 8, 8)
    wide = make_inputs(1, 1, 1, 3, 3, 300, 300)[:3]
    mask = draw(5, 6) > -0.5
    bias = draw(2, 1, 5, 6).masked_fill(~mask, -math.inf)
    slopes = draw(2).abs().requires_grad_()
    double = [x.double() for x in (q, k, v)]
    cases = [
        ((q, k, v, mask), {}, "torch"),
        ((q, k, v, mask), {"is_causal": True, "window": 3, "query_offset": 1}, "torch"),
        ((q, k, v, bias), {"is_causal": True, "query_offset": 1}, "torch"),
        ((q, k, v, bias), {"softcap": 2.0}, "reference"),
        ((q, k, v, mask), {"sinks": draw(2)}, "reference"),
        (double, {"window": (2, 1)}, "torch"),
        (double, {"window": (None, 1)}, "torch"),
        ((q, k, v, mask), {"is_causal": True}, "torch"),
        (double, {"dropout_p": 0.5}, "reference"),
        (wide, {}, "torch"),
        ((q, k[:1], v[:1]), {}, "torch"),
        ((q, k, v), {"alibi_slopes": slopes}, "reference"),
        ((q, k[:, :, :0], v[:, :, :0]), {}, "torch"),
    ]
    for inputs, options, backend in cases:
        explanation = ops.explain(ops.attention, *inputs, **options)
        assert explanation.backend == backend and explanation.refused["cpu"]
        torch.manual_seed(0)
        found = ops.attention(*inputs, **options)
        torch.manual_seed(0)
        seed = philox.draw_seed() if options.get("dropout_p") else None
        q_, *kv = (x.double() for x in inputs[:3])
        kv = [x.expand(q_.shape[0], -1, -1, -1) for x in kv]
        true = naive(q_, *kv, *inputs[3:], seed=seed, **options)
        torch.testing.assert_close(found.double(), true, rtol=1e-5, atol=1e-5)


def test_the_backend_asked_for_refuses_with_its_reason(cpu_kernels):
    """`cpu` never falls back; the message names the reason."""
    q, k, v, _ = make_inputs(1, 2, 2, 5, 6, 8, 8)
    with pytest.raises(BackendError, match="the kernels take no attn_mask"):
        ops.attention(q, k, v, torch.ones(5, 6, dtype=torch.bool))
    with pytest.raises(BackendError, match="float64 is not float32"):
        ops.attention(q.double(), k.double(), v.double())
    with pytest.raises(BackendError, match="head dimensions 300 and 8"):
        ops.attention(*make_inputs(1, 2, 2, 5, 6, 300, 8)[:3])


def test_calls_that_torch_does_faster_go_there():
    """Small float32 calls, and few queries; never with extras, and not when `cpu` is asked for."""
    if not ops.isas():
        pytest.skip("no compiled CPU kernels here")
    small, large = make_inputs(1, 1, 1, 8, 8, 16, 16)[:3], make_inputs(1, 4, 4, 50, 50, 32, 32)[:3]
    one = make_inputs(8, 8, 8, 1, 500, 32, 32)[:3]

    def backend(inputs, **options):
        explanation = ops.explain(ops.attention, *inputs, **options)
        return explanation.backend, explanation.refused.get("cpu", "")

    assert backend(small) == (
        "torch",
        "1024 multiply-adds for the scores take less time than the call",
    )
    assert backend(one) == ("torch", "1 queries do not pay for packing the keys")
    assert backend(large) == ("cpu", "")
    assert backend(one, window=(3, 3)) == ("cpu", "")
    assert backend([x.bfloat16() for x in one]) == ("cpu", "")
    assert backend(small, sinks=torch.zeros(1)) == ("cpu", "")
    with torch.autocast("cpu", torch.bfloat16):
        assert backend(one) == ("cpu", "")
    with ops.use_backend("cpu"):
        assert backend(small) == ("cpu", "")
    with ops.use_backend("reference"):
        assert backend(small)[0] == "reference"
