"""Attention in plain PyTorch: what the formula says, and the reference of every kernel.

    x = scale * q k^T;  x = softcap * tanh(x / softcap);  x -= slope * |i + query_offset - j|
    x += float mask;  x = -inf where query i does not see key j
    weights = exp(x) / (sum of exp(x) + exp(sink)), then dropout;  out = weights @ v

Shapes: query (..., H, Q, D), key (..., G, K, D), value (..., G, K, E), scores (..., H, Q, K);
G divides H, and H / G query heads share a key head. Half precision is computed in float32.

References: Vaswani et al. 2017, arXiv:1706.03762, eq. 1; ALiBi: Press et al. 2022,
arXiv:2108.12409; softcap: Gemma 2, arXiv:2408.00118; sinks: gpt-oss, arXiv:2508.10925; gradients:
Dao et al. 2022, arXiv:2205.14135, appendix B.
"""

import contextlib
import functools
from typing import NamedTuple

import torch
from torch import Tensor

from dlplug.ops.fallback import philox


class Options(NamedTuple):
    """What the operators take beside query, key, value and sinks, in the order of their schemas.

    Attributes:
        attn_mask: Bool (True: seen) or float (added), broadcastable to the scores; for the
            operators of 4 axes, each of size 1 or as the scores'.
        alibi_slopes: ``(H,)``.
        cu_seqlens: int32 ``(documents + 1,)``: where each document starts, then the length; or
            ``(2, documents + 1)``, the queries' and the keys', whose positions then count from
            the start of their document.
        seed: Scalar int64 of the dropout mask.
        dropout_p: Probability of dropping a weight.
        scale: Factor of the scores.
        softcap: Bound of the scores' size.
        left, right: Query i sees key j when ``-right <= i + query_offset - j <= left``.
        query_offset: Position of the first query; the first key's is 0.
        allow_tf32: A GPU may multiply float32 as TF32; others do not.
    """

    attn_mask: Tensor | None = None
    alibi_slopes: Tensor | None = None
    cu_seqlens: Tensor | None = None
    seed: Tensor | None = None
    dropout_p: float = 0.0
    scale: float = 1.0
    softcap: float | None = None
    left: int | None = None
    right: int | None = None
    query_offset: int = 0
    allow_tf32: bool = False


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    sinks: Tensor | None,
    options: Options,
) -> Tensor:
    """Weighted mean of the values, ``(..., H, Q, E)``; differentiable any number of times.

    A query that sees nothing gives 0, and gradient 0.
    """
    with without_autocast(query.device.type):
        return _attend(query, key, value, sinks, options)[0]


def without_autocast(device: str) -> contextlib.AbstractContextManager:
    """Where products stay float32 though the caller's would be cast; ``meta`` casts nothing."""
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return contextlib.nullcontext()


def attention_forward(
    query: Tensor, key: Tensor, value: Tensor, sinks: Tensor | None, *options
) -> tuple[Tensor, Tensor]:
    """``attention`` of 4 axes, and the log of each row's sum of exponentials.

    The latter is float64, ``(B, H, Q)``: what the sum adds to a huge score has digits of its own.
    """
    out, lse = _attend(query, key, value, sinks, Options(*options))
    return laid_out(out, query.is_contiguous()), lse


def attention_backward(
    grad_out: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    lse: Tensor,
    needs_mask: bool,
    needs_slopes: bool,
    *options,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients from what ``attention_forward`` gave.

    Of query, key and value; and of a float mask and of the slopes where ``needs_mask`` and
    ``needs_slopes`` ask for them, else ``(0,)``.
    """
    options = Options(*options)
    grad, o, q = _wide(grad_out), _wide(out), _wide(query)
    k, v = _shared(key, query), _shared(value, query)
    scores, slope = _scores(q, k, options)
    scores = _masked(scores, query, key, options)
    # Where nothing is seen lse is -inf too, and no weight counts.
    is_blind = lse == -torch.inf
    top = lse.to(scores.dtype)
    rest = (lse - top).to(scores.dtype).masked_fill(is_blind, 0)[..., None]
    weights = torch.exp(scores - top.masked_fill(is_blind, torch.inf)[..., None] - rest)
    grad_value = _dropped_out(weights, options).mT @ grad
    grad_weights = _dropped_out(grad @ v.mT, options)
    delta = (o * grad).sum(-1, keepdim=True)  # the sum over j of weights * grad_weights
    grad_scores = weights * (grad_weights - delta)
    grad_products = grad_scores * slope * options.scale
    grad_query, grad_key = grad_products @ k, grad_products.mT @ q
    if key.size(1) != query.size(1):
        groups = (key.size(1), query.size(1) // key.size(1))
        grad_key, grad_value = (x.unflatten(1, groups).sum(2) for x in (grad_key, grad_value))
    grads = [
        laid_out(gradient.to(x.dtype), x.is_contiguous())
        for gradient, x in ((grad_query, query), (grad_key, key), (grad_value, value))
    ]
    grad_mask, grad_slopes = (query.new_empty(0, dtype=torch.float32) for _ in range(2))
    if needs_mask:
        mask = options.attn_mask
        grad_mask = grad_scores.sum_to_size(mask.shape).to(mask.dtype).contiguous()
    if needs_slopes:
        grad_slopes = _slope_gradient(weights, grad_weights, _distance(query, key, options).abs())
        grad_slopes = grad_slopes.to(options.alibi_slopes.dtype)
    return *grads, grad_mask, grad_slopes


def _slope_gradient(weights: Tensor, grad_weights: Tensor, distance: Tensor) -> Tensor:
    """Gradient of ALiBi's slopes, ``(H,)``: minus the sum of each score's gradient times distance.

    The distances multiply a row's gradients, which add up to 0 but for rounding: so the row's mean
    is remade from the weights, as the output lost digits, and distances count from the least.
    """
    if weights.size(-1) == 0:
        return weights.sum((0, 2, 3))
    least = distance.amin(-1, keepdim=True)
    delta = (weights * grad_weights).sum(-1, keepdim=True)
    near = weights * (grad_weights - delta) * (distance - least)
    # What a row's gradients add up to: nothing without a sink, which has its part of the weight.
    rest = delta * (1 - weights.sum(-1, keepdim=True)) * least
    return -(near.sum((0, 2, 3)) + rest.sum((0, 2, 3)))


def laid_out(x: Tensor, is_contiguous: bool) -> Tensor:
    """``x`` (B, H, rows, width) contiguous, or laid out in memory as (B, rows, H, width)."""
    return x.contiguous() if is_contiguous else x.transpose(1, 2).contiguous().transpose(1, 2)


def visible(query: Tensor, key: Tensor, options: Options) -> Tensor | None:
    """Which keys each query sees, bool, broadcastable to the scores; None when it sees all.

    A float mask, which may hide keys by -inf, does not count.
    """
    mask = options.attn_mask
    parts = [] if mask is None or mask.dtype != torch.bool else [mask]
    if options.left is not None:
        parts.append(_distance(query, key, options) <= options.left)
    if options.right is not None:
        parts.append(_distance(query, key, options) >= -options.right)
    if options.cu_seqlens is not None:
        of_queries, of_keys = map(_document_of, _positions(query, key), _starts(options))
        parts.append(of_queries[:, None] == of_keys)
    return functools.reduce(torch.logical_and, parts) if parts else None


def _attend(query, key, value, sinks, options) -> tuple[Tensor, Tensor]:
    k, v = _shared(key, query), _shared(value, query)
    scores, _ = _scores(_wide(query), k, options)
    scores = _masked(scores, query, key, options)
    weights, lse = _softmax(scores, sinks)
    return (_dropped_out(weights, options) @ v).to(query.dtype), lse


def _distance(query: Tensor, key: Tensor, options: Options) -> Tensor:
    """Position of query i minus position of key j, int64 ``(Q, K)``."""
    queries, keys = _positions(query, key)
    if options.cu_seqlens is not None and options.cu_seqlens.dim() == 2:
        queries, keys = (
            x - starts[_document_of(x, starts) - 1]
            for x, starts in zip((queries, keys), _starts(options), strict=True)
        )
    return (queries + options.query_offset)[:, None] - keys


def _starts(options: Options) -> tuple[Tensor, Tensor]:
    """Where the queries' documents start, and the keys'."""
    starts = options.cu_seqlens.contiguous()
    return tuple(starts) if starts.dim() == 2 else (starts, starts)


def _document_of(positions: Tensor, starts: Tensor) -> Tensor:
    """Numbers from 1 on."""
    return torch.searchsorted(starts, positions.to(starts.dtype), right=True)


def _positions(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(torch.arange(x.size(-2), device=x.device) for x in tensors)


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _shared(x: Tensor, query: Tensor) -> Tensor:
    """Keys or values in float32 with each head repeated for the query heads that share it."""
    heads = query.size(-3) if query.dim() > 2 and x.dim() > 2 else 1
    if heads > 1 and x.size(-3) not in (1, heads):  # 1: the product broadcasts it
        x = x.repeat_interleave(heads // x.size(-3), dim=-3)
    return _wide(x)


def _scores(q: Tensor, k: Tensor, options: Options) -> tuple[Tensor, Tensor | float]:
    """Scores before masks, and the derivative of the softcap at each."""
    scores, slope = q @ k.mT * options.scale, 1.0
    if options.softcap is not None:
        capped = torch.tanh(scores / options.softcap)
        scores, slope = options.softcap * capped, 1 - capped.square()
    if options.alibi_slopes is not None:
        slopes = options.alibi_slopes.to(scores.dtype)[:, None, None]
        scores = scores - slopes * _distance(q, k, options).abs()
    return scores, slope


def _masked(scores: Tensor, query: Tensor, key: Tensor, options: Options) -> Tensor:
    """Scores with a float mask added, -inf where a query does not see a key."""
    mask = options.attn_mask
    if mask is not None and mask.dtype != torch.bool:
        scores = scores + mask
    seen = visible(query, key, options)
    return scores if seen is None else scores.masked_fill(~seen, -torch.inf)


def _softmax(scores: Tensor, sinks: Tensor | None) -> tuple[Tensor, Tensor]:
    """exp(s) / (sum of exp(s) + exp(sink)), 0 where that sum is 0; and the log of the sum."""
    if scores.size(-1) == 0:
        empty = scores.sum(-1) - torch.inf
        if sinks is None:
            return scores, empty.double()
        lse = empty.maximum(sinks[:, None].to(scores.dtype))
        return scores - lse[..., None], lse.double()  # of no element, but the sinks' gradient is 0
    # The largest score is only subtracted against overflow: it cancels, so no gradient flows.
    top = scores.detach().amax(-1, keepdim=True)
    if sinks is not None:
        sinks = sinks.to(scores.dtype)[:, None, None]
        top = torch.maximum(top, sinks.detach())
    top = top.masked_fill(top == -torch.inf, 0)
    weights = torch.exp(scores - top)
    total = weights.sum(-1, keepdim=True)
    if sinks is not None:
        total = total + torch.exp(sinks - top)
    lse = (top.double() + torch.log(total)).squeeze(-1)
    return weights / total.masked_fill(total == 0, 1), lse


def _dropped_out(x: Tensor, options: Options) -> Tensor:
    """``x`` with the elements of the dropout mask 0 and the others scaled up."""
    p = options.dropout_p
    if p == 0:
        return x
    keep = philox.keep_mask(options.seed, x.shape[:-1].numel(), x.size(-1), p).view(x.shape)
    # Dropping everything leaves 0, not 0 / 0.
    return torch.where(keep, x * (1 / (1 - p) if p < 1 else 0.0), 0.0)
