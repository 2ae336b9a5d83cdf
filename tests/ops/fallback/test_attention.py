"""Tests of dlplug/ops/fallback/attention.py: the reference, itself held against definitions."""

import pytest
import torch
import torch.nn.functional as F

from dlplug.ops.fallback import attention as reference
from dlplug.ops.fallback import philox
from tests.ops.attention_cases import draw, make_inputs, naive

# name -> (arguments of the reference, arguments of the definition)
FEATURES = {
    "none": ({}, {}),
    "causal": ({"right": 0}, {"is_causal": True}),
    "offset": ({"right": 0, "query_offset": 3}, {"is_causal": True, "query_offset": 3}),
    "window": ({"left": 2, "right": 0}, {"is_causal": True, "window": 3}),
    "two-sided": (
        {"left": 1, "right": 2, "query_offset": -1},
        {"window": (1, 2), "query_offset": -1},
    ),
    "softcap": ({"softcap": 1.5}, {"softcap": 1.5}),
    "sees nothing": ({"right": 0, "query_offset": -2}, {"is_causal": True, "query_offset": -2}),
}


def attend(query, key, value, sinks=None, attn_mask=None, **options):
    options = reference.Options(attn_mask, **options)
    return reference.attention(query, key, value, sinks, options)


def double(*shape, seed=0):
    return draw(*shape, dtype=torch.float64, seed=seed)


@pytest.mark.parametrize("name", FEATURES)
def test_agrees_with_the_definition(name):
    """Scores, masks and softmax as written out one query at a time, with grouped heads."""
    q, k, v, _ = make_inputs(2, 4, 2, 5, 6, 3, 7, torch.float64)
    ours, theirs = FEATURES[name]
    extras = {"sinks": double(4), "alibi_slopes": double(4, seed=9).abs()}
    for extra in ({}, extras):
        found = attend(q, k, v, scale=3**-0.5, **ours, **extra)
        torch.testing.assert_close(found, naive(q, k, v, **theirs, **extra))


@pytest.mark.parametrize("kind", ["bool", "float"])
def test_masks_and_dropout_agree_with_the_definition(kind):
    """A bool mask hides, a float mask adds, dropout follows the counter-based generator."""
    q, k, v, _ = make_inputs(2, 2, 2, 5, 6, 3, 7, torch.float64)
    mask = double(5, 6) > -0.5
    if kind == "float":
        mask = double(2, 1, 5, 6, seed=5).masked_fill(~mask, -torch.inf)
    seed = torch.tensor(77)
    found = attend(q, k, v, seed=seed, dropout_p=0.4, scale=3**-0.5, attn_mask=mask, right=2)
    expected = naive(q, k, v, mask, 0.4, window=(None, 2), seed=seed)
    torch.testing.assert_close(found, expected)


def test_packed_documents_do_not_see_each_other():
    """Each document gives what it gives alone; an empty document changes nothing."""
    q, k, v, _ = make_inputs(1, 2, 1, 9, 9, 4, 4, torch.float64)
    starts = torch.tensor([0, 4, 4, 9], dtype=torch.int32)
    found = attend(q, k, v, cu_seqlens=starts, right=0)
    for begin, end in ((0, 4), (4, 9)):
        alone = attend(*(x[:, :, begin:end] for x in (q, k, v)), right=0)
        torch.testing.assert_close(found[:, :, begin:end], alone)


def test_documents_of_other_lengths_among_the_keys_are_each_alone():
    """Positions count within each; one without keys gives 0."""
    q, k, v, _ = make_inputs(1, 2, 1, 9, 11, 4, 4, torch.float64)
    of_queries, of_keys = [0, 4, 4, 6, 9], [0, 2, 5, 5, 11]
    starts = torch.tensor([of_queries, of_keys], dtype=torch.int32)
    slopes = torch.tensor([0.5, 0.1])
    options = {"right": 1, "left": 3, "query_offset": 1, "alibi_slopes": slopes}
    found = attend(q, k, v, cu_seqlens=starts, **options)
    for n in range(4):
        rows, keys = (slice(x[n], x[n + 1]) for x in (of_queries, of_keys))
        alone = attend(q[:, :, rows], k[:, :, keys], v[:, :, keys], **options)
        torch.testing.assert_close(found[:, :, rows], alone)
    expected = naive(
        q,
        k,
        v,
        scale=1.0,
        window=(3, 1),
        query_offset=1,
        alibi_slopes=slopes,
        cu_seqlens=of_queries,
        cu_seqlens_k=of_keys,
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    "shapes", [((5, 3), (6, 3)), ((2, 5, 3), (2, 6, 3)), ((2, 1, 4, 5, 3), (3, 4, 6, 3))]
)
def test_equals_torch_for_every_leading_shape(shapes):
    """Two axes, three, and leading sizes that broadcast."""
    q, k, v = double(*shapes[0]), double(*shapes[1], seed=1), double(*shapes[1], seed=2)
    found = attend(q, k, v, scale=3**-0.5)
    torch.testing.assert_close(found, F.scaled_dot_product_attention(q, k, v))


def test_gradients_of_everything_are_right_twice():
    """gradcheck and gradgradcheck of query, key, value, float mask, sinks and slopes."""
    q, k, v, _ = make_inputs(1, 2, 1, 3, 4, 2, 3, torch.float64)
    mask = double(3, 4, seed=8).masked_fill(double(3, 4, seed=9) < -0.7, -torch.inf)
    inputs = [q, k, v, double(2), double(2, seed=3).abs()]

    def run(q, k, v, sinks, slopes, bias):
        hidden = torch.where(mask == -torch.inf, mask, bias)
        return attend(
            q,
            k,
            v,
            sinks,
            hidden,
            alibi_slopes=slopes,
            seed=torch.tensor(5),
            dropout_p=0.3,
            scale=0.7,
            softcap=1.5,
            left=3,
            right=1,
        )

    inputs = [x.requires_grad_() for x in (*inputs, double(3, 4, seed=8))]
    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)


def test_a_query_that_sees_nothing_gives_zero_and_gradient_zero():
    """Hidden by a bool mask, by a float mask of -inf, or by position."""
    q, k, v, grad = make_inputs(1, 1, 1, 3, 4, 2, 2, torch.float64)
    seen = torch.ones(3, 4, dtype=torch.bool)
    seen[1] = False
    bias = torch.zeros(3, 4, dtype=torch.float64).masked_fill(~seen, -torch.inf)
    for options, row in (({"attn_mask": seen}, 1), ({"attn_mask": bias}, 1),
                         ({"right": 0, "query_offset": -1}, 0)):  # fmt: skip
        leaves = [x.clone().requires_grad_() for x in (q, k, v)]
        out = attend(*leaves, **options)
        grads = torch.autograd.grad(out, leaves, grad)
        assert out[0, 0, row].eq(0).all()
        assert grads[0][0, 0, row].eq(0).all()
        assert all(g.isfinite().all() for g in grads)


def test_no_keys_give_zero():
    """A sum over no keys, with and without a sink."""
    q, k, v = double(1, 2, 3, 4), double(1, 2, 0, 4), double(1, 2, 0, 5)
    for sinks in (None, double(2)):
        assert attend(q, k, v, sinks).equal(torch.zeros(1, 2, 3, 5).double())


@pytest.mark.parametrize("name", FEATURES)
def test_written_out_gradients_are_those_of_autograd(name):
    """attention_backward, with grouped heads, sinks, a mask, ALiBi and dropout."""
    q, k, v, grad = make_inputs(2, 4, 2, 5, 6, 3, 7, torch.float64)
    sinks, slopes, seed = double(4), double(4, seed=9).abs(), torch.tensor(3)
    mask = double(2, 1, 5, 1, seed=6)
    options = reference.Options(mask, slopes, None, seed, 0.3, 0.6)._replace(**FEATURES[name][0])
    leaves = [x.clone().requires_grad_() for x in (q, k, v, mask, slopes)]
    learnt = options._replace(attn_mask=leaves[3], alibi_slopes=leaves[4])
    expected = reference.attention(*leaves[:3], sinks, learnt)
    out, lse = reference.attention_forward(q, k, v, sinks, *options)
    torch.testing.assert_close(out, expected)
    found = reference.attention_backward(grad, q, k, v, out, lse, True, True, *options)
    for mine, true in zip(found, torch.autograd.grad(expected, leaves, grad), strict=True):
        torch.testing.assert_close(mine, true)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("offset", [0, 2000, -2000])
@pytest.mark.parametrize("name", ["plain", "sinks", "dropout"])
def test_slopes_learn_in_half_precision(dtype, offset, name):
    """What the output lost in rounding does not meet the distance of a query far from all keys.

    Within twice bfloat16's rounding; what the distance multiplied was above the gradient itself.
    """
    q, k, v, grad = make_inputs(1, 2, 1, 300, 300 if offset else 3, 8, 8, dtype)
    slopes = torch.tensor([0.5, 0.1])
    nearest = max(0, offset - 299, -offset - 299)
    sinks = -nearest * slopes - 20 if name == "sinks" else None
    options = reference.Options(
        None, slopes, None, torch.tensor(7), 0.3 if name == "dropout" else 0.0, 8**-0.5
    )._replace(query_offset=offset)

    def slope_gradient(*tensors, options):
        out, lse = reference.attention_forward(*tensors[1:], sinks, *options)
        return reference.attention_backward(*tensors, out, lse, False, True, *options)[4]

    found = slope_gradient(grad, q, k, v, options=options)
    wide = [x.double() for x in (grad, q, k, v)]
    true = slope_gradient(*wide, options=options._replace(alibi_slopes=slopes.double()))
    assert (found - true).abs().max() <= 2 * torch.finfo(torch.bfloat16).eps * true.abs().max()


def test_equal_scores_share_the_weight_in_both_passes():
    """The sum of 40 adds 3.7 to the log, less than a float of 1e9 can tell."""
    q, k = torch.full((1, 1, 2, 1), 1e9), torch.ones(1, 1, 40, 1)
    v = torch.eye(40).view(1, 1, 40, 40)
    options = reference.Options()
    out, lse = reference.attention_forward(q, k, v, None, *options)
    grad = torch.eye(2, 40).view_as(out)
    _, _, found, *_ = reference.attention_backward(grad, q, k, v, out, lse, False, False, *options)
    torch.testing.assert_close(out, torch.full_like(out, 1 / 40))
    torch.testing.assert_close(found.mT[..., :2, :], out)


def test_dropout_of_one_drops_everything_and_of_half_keeps_the_mean():
    """p = 1 gives 0 without 0 / 0; p = 0.5 doubles what is kept."""
    q, k, v = double(1, 1, 40, 8), double(1, 1, 40, 8, seed=1), torch.ones(1, 1, 40, 1).double()
    seed = torch.tensor(11)
    assert attend(q, k, v, seed=seed, dropout_p=1.0).eq(0).all()
    halved = attend(q, k, v, seed=seed, dropout_p=0.5, scale=0.0)
    keep = philox.keep_mask(seed, 40, 40, 0.5)
    torch.testing.assert_close(halved[0, 0, :, 0], keep.double().mean(1) * 2)


def test_half_precision_is_summed_in_float32():
    """The result is the float64 one rounded once, within a float32's error."""
    q, k, v, _ = make_inputs(1, 2, 2, 30, 40, 16, 16, torch.bfloat16)
    found = attend(q, k, v, scale=0.25)
    true = attend(q.double(), k.double(), v.double(), scale=0.25)
    assert found.dtype == torch.bfloat16
    assert (found.double() - true).abs().max() <= 0.51 * 2**-7 * true.abs().max()
