"""The backward pass weighs as the forward pass did, however large the scores are."""

import pytest
import torch

from dlplug import ops
from tests.ops.attention_cases import DTYPES, draw, each_isa, make_inputs

KEYS = 40
# Of which the first few are multiplied with keys as they lie.
QUERIES = (1, 2, 4, 5, 20)
KINDS = {
    "ordinary": (1.0, {}),
    "1e5": (300.0, {}),
    "huge": (1e15, {}),
    "with softcap": (1e15, {"softcap": 1e5}),
    "with ALiBi": (300.0, {"alibi_slopes": torch.tensor([1e4, 0.3])}),
    "with a mask": (300.0, {"attn_mask": draw(KEYS) * 1e3}),
    "with sinks": (300.0, {"sinks": torch.tensor([1e5, -1e5])}),
    "causal": (300.0, {"is_causal": True, "query_offset": 30}),
}


def weights_of_both_passes(query, key, **options):
    """``(1, H, Q, K)`` each: with the unit matrix for values and for the gradient of the output."""
    heads, queries = query.shape[1:3]
    value = torch.eye(KEYS, dtype=query.dtype).expand(1, heads, KEYS, KEYS)
    value = value.clone().requires_grad_()
    out = ops.attention(query, key, value, **options)
    grad = torch.eye(queries, KEYS, dtype=query.dtype).expand_as(out)
    (found,) = torch.autograd.grad(out, value, grad)
    return out.detach(), found.mT[..., :queries, :]


def assert_alike(forward, backward):
    """Both round a weight of at most 1 to the dtype, once before it is divided by the sum."""
    assert forward.isfinite().all() and backward.isfinite().all()
    error = (forward.double() - backward.double()).abs().max().item()
    assert error <= 4 * torch.finfo(forward.dtype).eps


@each_isa
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_both_passes_weigh_alike(cpu_kernels, isa, dtype, kind):
    """Scores of any size, from products that are made in two ways."""
    factor, options = KINDS[kind]
    if dtype == torch.float16:
        factor = min(factor, 300.0)
    for queries in QUERIES:
        query, key, *_ = make_inputs(1, 2, 2, queries, KEYS, 33, 1, dtype)
        # Keys that differ little compete for the weight.
        query, key = query * factor, (draw(33) + key.double() / 100).to(dtype) * factor
        with ops.use_isa(isa):
            assert_alike(*weights_of_both_passes(query, key, **options))


@each_isa
@pytest.mark.parametrize("size", [1e3, 1e6, 1e9])
def test_equal_scores_share_the_weight(cpu_kernels, isa, size):
    """The sum of 40 adds 3.7 to the log, less than a float of 1e9 can tell."""
    query, key = torch.full((1, 1, 3, 1), size), torch.ones(1, 1, KEYS, 1)
    with ops.use_isa(isa):
        forward, backward = weights_of_both_passes(query, key)
    torch.testing.assert_close(forward, torch.full_like(forward, 1 / KEYS))
    torch.testing.assert_close(backward, torch.full_like(backward, 1 / KEYS))


@each_isa
def test_what_is_dropped_gives_no_gradient(cpu_kernels, isa):
    """However large its score: 0 and not NaN."""
    *tensors, grad = make_inputs(2, 6, 1, 2, 2, 130, 130, torch.bfloat16)
    leaves = [(x * 3e15).requires_grad_() for x in tensors]
    with ops.use_isa(isa):
        out = ops.attention(*leaves, scale=1.0, dropout_p=1.0, enable_gqa=True)
        grads = torch.autograd.grad(out, leaves, grad)
    assert all(x.count_nonzero() == 0 for x in (out, *grads))
