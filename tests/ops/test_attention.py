"""Results of dlplug/ops/attention.py and of its kernels."""

import math

import pytest
import torch
import torch.nn.functional as F

from dlplug import ops
from dlplug.ops.fallback import philox
from tests.ops.attention_cases import (
    DTYPES,
    assert_within_twice,
    draw,
    each_isa,
    make_inputs,
    oracle,
    plain,
    with_gradients,
)
from tests.ops.attention_exactness import POSITIONS, TERMS, check_documents_apart

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
# Few queries of a group of heads, and keys in several ranges.
FEW_QUERIES = [
    (1, 1, 1, 1, 1500, 32, 48),
    (2, 8, 1, 1, 1100, 24, 20),
    (1, 6, 2, 2, 77, 7, 32),
    (1, 33, 1, 2, 40, 5, 3),
    (1, 5, 1, 4, 600, 12, 16),
    (1, 1, 1, 20, 1700, 16, 24),
    (16, 1, 1, 1, 1100, 24, 20),  # so many heads that one takes all keys, in five chunks
]


@each_isa
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("is_causal", [False, True])
def test_rounding_is_at_most_twice_pytorchs(cpu_kernels, isa, dtype, is_causal):
    """Output and gradients for every shape, against the formula written in that dtype."""
    # A query that sees one key, as few causal ones do, has an exact peer.
    for shape in SHAPES if is_causal else SHAPES + FEW_QUERIES:
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


# Of PyTorch's own formula in the same dtype, which sums up 16-bit numbers in 16 bits.
TYPICAL_ERRORS = {torch.float32: 1.2, torch.bfloat16: 0.5, torch.float16: 0.45}
OF_BFLOAT16_PRODUCTS = 0.65  # whose factors are rounded


@each_isa
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_whole_rows_cancel_with_the_numbers_they_come_from(cpu_kernels, isa, dtype):
    """Weights' gradients less their mean: not less out . grad_out, whose roundings are others.

    With that the typical errors are 1.36 to 1.40, 0.55 to 0.57 (0.69 to 0.75 of products of
    bfloat16) and 0.51 to 0.52 of the formula's.
    """
    *tensors, grad = make_inputs(4, 4, 4, 16, 16, 32, 32, dtype)
    with ops.use_isa(isa):
        found = with_gradients(ops.attention, tensors, grad, is_causal=True)
    peer = with_gradients(plain, tensors, grad, is_causal=True)
    true = oracle(tensors, grad, is_causal=True)
    has_products = dtype == torch.bfloat16 and isa in ("avx512", "amx")
    most = OF_BFLOAT16_PRODUCTS if has_products else TYPICAL_ERRORS[dtype]
    for ours, theirs, exact in list(zip(found, peer, true, strict=True))[1:3]:  # query and key
        error, usual = ((x.double() - exact).square().mean().sqrt() for x in (ours, theirs))
        assert error <= most * usual


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
    # The gradient of a slope sums up distances of up to 300, times weights and gradients.
    units = {"alibi": [2000.0], "all": [16.0, 2000.0]}.get(name, [16.0])
    assert_within_twice(found, true, peer, 16.0, units)


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


@each_isa
def test_packed_documents_of_other_lengths_among_the_keys(cpu_kernels, isa):
    """Positions count from each document's start; some have no queries, some no keys."""
    with ops.use_isa(isa):
        check_documents_apart(torch.float32)
        *tensors, grad = make_inputs(1, 2, 2, 600, 700, 16, 16)
        apart = {
            "cu_seqlens": torch.tensor([0, 300, 520, 600], dtype=torch.int32),
            "cu_seqlens_k": torch.tensor([0, 90, 600, 700], dtype=torch.int32),
        }
        for options in ({}, {"is_causal": True, "window": 70, "query_offset": 20}):
            found = with_gradients(ops.attention, tensors, grad, **apart, **options)
            true = oracle(tensors, grad, **apart, **options)
            for a, b in zip(found, true, strict=True):
                torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-5)


@each_isa
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("factor", [1e3, 1e12])
def test_large_scores_do_not_overflow(cpu_kernels, isa, dtype, factor):
    """Scores of +-1e4, or 1e13 in all but float16, pick the largest key, as in torch."""
    *tensors, grad = make_inputs(1, 2, 2, 20, 300, 16, 16, dtype)
    tensors[0] = tensors[0] * (1e3 if dtype == torch.float16 else factor)
    with ops.use_isa(isa):
        found = with_gradients(ops.attention, tensors, grad)
    true = oracle(tensors, grad)
    peer = with_gradients(plain, tensors, grad)
    assert all(x.isfinite().all() for x in found)
    assert_within_twice(found[:1], true, peer, unit=4.0)


@each_isa
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_go_where_they_go_in_torch(cpu_kernels, isa, value, dtype):
    """In a query, a key or a value: the same outputs are NaN, the others are equal."""
    for which in range(3):
        for shape in ((20, 21), (4, 1100), (20, 1100)):
            *tensors, _ = make_inputs(1, 1, 1, *shape, 8, 8, dtype)
            tensors[which][0, 0, 3, 2] = value
            with ops.use_isa(isa):
                found = ops.attention(*tensors)
            expected = plain(*(x.float() for x in tensors)).to(dtype)
            near = {} if dtype == torch.float32 else {"rtol": 0.02, "atol": 0.02}
            torch.testing.assert_close(found, expected, equal_nan=True, **near)


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


@each_isa
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("offset", [0, 2000, -2000])
@pytest.mark.parametrize("name", ["plain", "sinks", "dropout"])
def test_slopes_learn_from_queries_far_from_all_keys(cpu_kernels, isa, dtype, offset, name):
    """The output, which is rounded to the dtype, does not meet the distance of 2,000.

    Within twice bfloat16's rounding; what the distance multiplied was above the gradient itself.
    """
    options = {
        "plain": {},
        "sinks": {"sinks": torch.full((2,), -900.0)},
        "dropout": {"dropout_p": 0.3},
    }
    *tensors, grad = make_inputs(1, 2, 1, 300, 300 if offset else 3, 8, 8, dtype)
    given = {"alibi_slopes": torch.tensor([0.5, 0.1]), "query_offset": offset, "enable_gqa": True}
    torch.manual_seed(3)
    with ops.use_isa(isa):
        *_, found = with_gradients(ops.attention, tensors, grad, **options[name], **given)
    torch.manual_seed(3)
    *_, true = oracle(tensors, grad, **options[name], **given)
    assert (found - true).abs().max() <= 2 * torch.finfo(torch.bfloat16).eps * true.abs().max()


@each_isa
@pytest.mark.parametrize(
    "options",
    [{}, {"softcap": 3.0}, {"alibi_slopes": torch.tensor([0.5, 0.1, 0.01])}, {"dropout_p": 0.3}],
    ids=["plain", "softcap", "alibi", "dropout"],
)
def test_alike_values_leave_little_of_their_rounding(cpu_kernels, isa, options):
    """Most of the weights' gradients cancels in those of query and key."""
    query, key, value, grad = (draw(2, 3, 129, 16, seed=seed) for seed in range(4))
    tensors = {"query": query, "key": key, "value": 1 + value / 1000} | options
    leaves = [x.requires_grad_() for x in tensors.values() if isinstance(x, torch.Tensor)]

    def gradients(backend, dtype):
        torch.manual_seed(0)
        cast = {n: x.to(dtype) if isinstance(x, torch.Tensor) else x for n, x in tensors.items()}
        with ops.use_isa(isa), ops.use_backend(backend):
            out = ops.attention(**cast)
        return torch.autograd.grad(out, leaves, grad.to(dtype))[:2]

    found, peer = gradients("cpu", torch.float32), gradients("reference", torch.float32)
    true = gradients("reference", torch.float64)
    for mine, theirs, exact in zip(found, peer, true, strict=True):
        assert (mine - exact).norm() <= 1.5 * (theirs - exact).norm()


@pytest.mark.parametrize("mode", ["auto", "reference"])
def test_without_keys_everything_is_0_whatever_the_queries_are(mode):
    query, keys = torch.ones(2, 4, 5, 8), torch.ones(2, 4, 0, 8)
    query[0, 0, 0, 0], query[1, 2, 3, 4] = torch.inf, torch.nan
    with ops.use_backend(mode):
        assert torch.equal(ops.attention(query, keys, keys), torch.zeros(2, 4, 5, 8))


@pytest.mark.parametrize("mode", ["auto", "reference"])
@pytest.mark.parametrize(("name", "shape"), [("sinks", (4,)), ("attn_mask", (4, 5, 1))])
def test_what_is_added_to_the_scores_learns_without_keys(mode, name, shape):
    """Nothing, but a loss of nothing else can be differentiated."""
    query, keys = torch.ones(2, 4, 5, 8), torch.ones(2, 4, 0, 8)
    learns = torch.ones(shape, requires_grad=True)
    with ops.use_backend(mode):
        out = ops.attention(query, keys, keys, **{name: learns})
    out.sum().backward()
    assert not out.any() and torch.equal(learns.grad, torch.zeros(shape))


@pytest.mark.parametrize("mode", ["auto", "reference"])
@pytest.mark.parametrize("empty", ["batch", "heads", "queries", "width", "values"])
def test_a_mask_learns_0_of_nothing(mode, empty):
    """A process whose batch is empty has gradients of all parameters, as the others have."""
    batch, heads, queries, width, values = (
        0 if name == empty else size
        for name, size in (("batch", 2), ("heads", 3), ("queries", 4), ("width", 8), ("values", 8))
    )
    query, key = torch.zeros(batch, heads, queries, width), torch.zeros(batch, heads, 5, width)
    mask = torch.zeros(queries, 5, requires_grad=True)
    with ops.use_backend(mode):
        out = ops.attention(query, key, torch.zeros(batch, heads, 5, values), mask)
    assert out.shape == (batch, heads, queries, values)
    (grad,) = torch.autograd.grad(out.sum(), mask)
    assert torch.equal(grad, torch.zeros(queries, 5))


@each_isa
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1.0, 1e-5])
def test_sinks_learn_from_the_output_as_it_was_returned(cpu_kernels, isa, dtype, size):
    """-weight of the sink * (out . grad_out): float16's denormals, values of 1e-5, lose no more.

    Within a rounding of the gradient, and of float32 for its terms, of which half cancel.
    """
    query, key, value, grad = make_inputs(2, 3, 1, 245, 2, 16, 64, dtype)
    tensors, sinks = (query, key, value * size), torch.tensor([-2.0, 0.1, 0.9])
    given = {"sinks": sinks, "enable_gqa": True}
    with ops.use_isa(isa):
        out, *_, found = with_gradients(ops.attention, tensors, grad, **given)
    ones = value.new_ones(2, 1, 2, 1)
    weight = 1 - oracle((query, key, ones), grad[..., :1], **given)[0]  # what is left to the sink
    terms = weight * out.double() * grad.double()
    allowed = terms.abs().sum((0, 2, 3)) * 4 * torch.finfo(torch.float32).eps
    error = (found.double() + terms.sum((0, 2, 3))).abs()
    assert (error <= allowed + torch.finfo(found.dtype).eps * found.abs()).all()
