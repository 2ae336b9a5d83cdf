"""Attention written out query by query in float64, and the rule by which results are judged."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from dlplug import ops
from dlplug.ops.fallback import philox

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
each_isa = pytest.mark.parametrize("isa", ops.isas())


def draw(*shape, dtype=torch.float32, seed=0) -> Tensor:
    numbers = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=numbers, dtype=torch.float64).to(dtype)


def make_inputs(batch, heads, groups, queries, keys, width, value_width, dtype=torch.float32):
    """Query, key, value and the gradient of the output."""
    return [
        draw(batch, heads, queries, width, dtype=dtype, seed=1),
        draw(batch, groups, keys, width, dtype=dtype, seed=2),
        draw(batch, groups, keys, value_width, dtype=dtype, seed=3),
        draw(batch, heads, queries, value_width, dtype=dtype, seed=4),
    ]


def naive(
    query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False,
    *, window=None, query_offset=0, alibi_slopes=None, softcap=None, sinks=None, cu_seqlens=None,
    cu_seqlens_k=None, seed=None,
) -> Tensor:  # fmt: skip
    """One query of one head at a time, from the definitions in the docstring of ``attention``."""
    (batch, heads, queries, width), keys = query.shape, key.shape[2]
    back = _distances(queries, keys, query_offset, cu_seqlens, cu_seqlens_k)
    if attn_mask is not None:
        attn_mask = attn_mask.expand(batch, heads, queries, keys)
    rows = []
    for b in range(batch):
        for h in range(heads):
            kv = h * key.shape[1] // heads
            for i in range(queries):
                seen = [
                    j
                    for j in range(keys)
                    if _sees(i, j, b, h, attn_mask, is_causal, window, back[i, j])
                ]
                if not seen:
                    used = [query, key, value] + ([] if sinks is None else [sinks])
                    rows.append(sum(0 * x.sum() for x in used).expand(value.shape[-1]))
                    continue
                x = key[b, kv, seen] @ query[b, h, i] / (math.sqrt(width) if scale is None else 1)
                x = x if scale is None else x * scale
                if softcap is not None:
                    x = softcap * torch.tanh(x / softcap)
                if alibi_slopes is not None:
                    distances = torch.tensor([abs(back[i, j]) for j in seen])
                    x = x - alibi_slopes[h] * distances
                if attn_mask is not None and attn_mask.dtype != torch.bool:
                    x = x + attn_mask[b, h, i, seen]
                if sinks is not None:
                    x = torch.cat([x, sinks[h].view(1)])
                weights = torch.softmax(x, 0)[: len(seen)]
                if dropout_p > 0:
                    row = (b * heads + h) * queries + i
                    keep = philox.keep_mask(seed, row + 1, keys, dropout_p)[row, seen]
                    weights = torch.where(keep, weights / (1 - dropout_p), 0)
                rows.append(weights @ value[b, kv, seen])
    return torch.stack(rows).view(batch, heads, queries, -1)


def _distances(queries, keys, query_offset, cu_seqlens, cu_seqlens_k) -> dict:
    """How far query i is beyond key j, or None where they are of two documents."""
    sides = []
    for count, starts in ((queries, cu_seqlens), (keys, cu_seqlens_k)):
        starts = [0, count] if cu_seqlens is None else cu_seqlens if starts is None else starts
        documents = enumerate(pairwise(starts))
        sides.append([(n, i - int(a)) for n, (a, b) in documents for i in range(a, b)])
    return {
        (i, j): p + query_offset - q if document == other else None
        for i, (document, p) in enumerate(sides[0])
        for j, (other, q) in enumerate(sides[1])
    }


def _sees(i, j, b, h, mask, is_causal, window, back) -> bool:
    if back is None or (is_causal and back < 0):
        return False
    if isinstance(window, int) and back >= window:
        return False
    if isinstance(window, tuple):
        left, right = window
        if (left is not None and back > left) or (right is not None and back < -right):
            return False
    if mask is None:
        return True
    return bool(mask[b, h, i, j]) if mask.dtype == torch.bool else mask[b, h, i, j] > -math.inf


def plain(query, key, value, is_causal=False) -> Tensor:
    """What one would write in PyTorch, every step in the inputs' dtype."""
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    if is_causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1).bool(), -math.inf)
    return torch.softmax(scores, -1) @ value


def with_gradients(function, tensors, grad, **options) -> list[Tensor]:
    """The output, and the gradients of ``tensors`` and of what the options hold that can learn."""
    leaves = [x.detach().clone().requires_grad_() for x in tensors]
    for name in ("sinks", "attn_mask", "alibi_slopes"):
        if (x := options.get(name)) is not None and x.is_floating_point():
            options[name] = x.detach().clone().requires_grad_()
            leaves.append(options[name])
    output = function(*leaves[:3], **options)
    # A mask that hides everything is not part of the definition's sums.
    grads = torch.autograd.grad(output, leaves, grad, materialize_grads=True)
    return [output.detach(), *grads]


def assert_within_twice(found, oracle, peer, unit=0.0, extra_units=()) -> None:
    """error(found) <= 2 * error(peer) + 1 ulp of the largest value, for each tensor.

    That value is the largest true one, or the largest term of a sum whose terms cancel: values and
    grad_out are of size 1; ``unit`` is it for the gradients of query and key, ``extra_units`` for
    those of sinks, mask and slopes, of which there may be any.
    """
    units = [1.0, unit, unit, 1.0, *extra_units]
    eps = torch.finfo(found[0].dtype).eps
    for i, (result, true, other) in enumerate(zip(found, oracle, peer, strict=False)):
        size = true.abs().max().item()
        ulp = eps * max(size, units[i])
        limit = 2 * (other.double() - true).abs().max().item()
        error = (result.double() - true).abs().max().item()
        assert error <= limit + ulp, f"tensor {i}: {error:.3g}, allowed {limit:.3g} + {ulp:.3g}"


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


@contextmanager
def allowed_tf32() -> Iterator[None]:
    """Within, PyTorch may multiply float32 as TF32 on a GPU."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
