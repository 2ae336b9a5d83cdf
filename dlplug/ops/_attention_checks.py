"""What the arguments of ``attention`` must satisfy, one check per group of arguments."""

import math
from numbers import Real

import torch
from torch import Tensor

from dlplug.errors import DtypeError, OpError, ShapeError

Window = int | tuple[int | None, int | None] | None

MAX_OFFSET = 2**60  # beyond it the kernels' positions could leave int64

FLOATING = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def check_tensors(query: Tensor, key: Tensor, value: Tensor, enable_gqa: bool) -> None:
    """Shapes ``(..., H, Q, D)``, ``(..., G, K, D)``, ``(..., G, K, E)``, one dtype, one device."""
    if not query.dtype == key.dtype == value.dtype or query.dtype not in FLOATING:
        raise DtypeError(
            f"query, key and value are {_names(query.dtype, key.dtype, value.dtype)}",
            where="attention",
            known=_names(*FLOATING),
            fix="give all three the same one of these dtypes",
        )
    is_on_cpu = query.is_cpu and key.is_cpu and value.is_cpu  # a device itself takes longer
    if not is_on_cpu and not query.device == key.device == value.device:
        raise OpError(
            f"query, key and value are on {query.device}, {key.device} and {value.device}",
            where="attention",
            fix="move them to one device",
        )
    if query.is_nested or key.is_nested or value.is_nested:
        raise OpError(
            "only PyTorch's own op takes nested tensors, and not in this call",
            where="attention",
            fix="pack the sequences one behind the other and pass cu_seqlens",
        )
    q, k, v = query.shape, key.shape, value.shape
    if q == k == v and len(q) > 2 and not enable_gqa:  # they fit, whatever they are
        return
    if min(len(q), len(k), len(v)) < 2:
        raise _shape_error("at least 2 dimensions each are needed", query, key, value)
    if q[-1] != k[-1]:
        raise _shape_error("the last size of query and key differs", query, key, value)
    if k[-2] != v[-2]:
        raise _shape_error("the number of keys and of values differs", query, key, value)
    if enable_gqa:
        _check_groups(query, key, value)
    elif not q[:-2] == k[:-2] == v[:-2]:  # equal sizes need no further look
        try:
            torch.broadcast_shapes(q[:-2], k[:-2], v[:-2])
        except RuntimeError:
            raise _shape_error(
                "the leading sizes do not broadcast",
                query,
                key,
                value,
                fix="pass enable_gqa=True if several query heads share one key head",
            ) from None


def _check_groups(query: Tensor, key: Tensor, value: Tensor) -> None:
    if min(query.dim(), key.dim(), value.dim()) < 3:
        raise _shape_error("enable_gqa needs a head dimension", query, key, value)
    heads = query.size(-3)
    for x in (key, value):
        if x.size(-3) == 0 or heads % x.size(-3):
            raise _shape_error(
                f"{heads} query heads cannot share {x.size(-3)} key or value heads equally",
                query,
                key,
                value,
            )
    try:
        torch.broadcast_shapes(query.shape[:-3], key.shape[:-3], value.shape[:-3])
    except RuntimeError:
        raise _shape_error("the leading sizes do not broadcast", query, key, value) from None


def check_mask(mask: Tensor, query: Tensor, key: Tensor, enable_gqa: bool) -> None:
    """Bool, float32 or the dtype of ``query``; broadcastable to ``(..., H, Q, K)``."""
    if mask.dtype not in (torch.bool, torch.float32, query.dtype):
        raise DtypeError(
            f"attn_mask is {_names(mask.dtype)}",
            where=f"attention, query {_names(query.dtype)}",
            known=_names(torch.bool, torch.float32, query.dtype),
        )
    _check_device("attn_mask", mask, query)
    axis = -3 if enable_gqa else -2  # with grouped heads the scores have the query's
    q, k = query.shape, key.shape
    # Equal sizes, the most common, are not worth 10 us.
    leading = q[:axis] if q[:axis] == k[:axis] else torch.broadcast_shapes(q[:axis], k[:axis])
    scores = (*leading, *q[axis:-1], k[-2])
    given = tuple(mask.shape)
    if len(given) > len(scores) or any(
        have not in (1, want) for have, want in zip(given[::-1], scores[::-1], strict=False)
    ):
        raise ShapeError(
            f"attn_mask {given} does not broadcast to the scores {scores}", where="attention"
        )


def check_numbers(dropout_p: float, scale: float | None, softcap: float | None) -> None:
    """A probability, any number or None, a positive finite number or None."""
    if not 0 <= dropout_p <= 1:
        raise OpError(
            f"dropout_p is {dropout_p}", where="attention", fix="pass a probability from 0 to 1"
        )
    if scale is not None and not isinstance(scale, Real | torch.SymFloat):
        raise OpError(
            f"scale is {scale!r}", where="attention", fix="pass a number, or None for 1 / sqrt(D)"
        )
    if softcap is not None and not 0 < softcap < math.inf:
        raise OpError(
            f"softcap is {softcap}",
            where="attention",
            fix="pass a positive finite number, or None for no cap",
        )


def bounds(window: Window, is_causal: bool) -> tuple[int | None, int | None]:
    """``(left, right)`` such that query at p sees key at j when ``-right <= p - j <= left``."""
    causal_right = 0 if is_causal else None
    if window is None:
        return None, causal_right
    if isinstance(window, int) and not isinstance(window, bool):
        if is_causal and window > 0:
            return window - 1, 0
        raise OpError(
            f"window is {window} with is_causal={is_causal}",
            where="attention",
            fix="an int is the number of keys up to the query itself: positive, with is_causal="
            "True; pass (left, right) for a two-sided window",
        )
    if not (isinstance(window, tuple | list) and len(window) == 2 and all(map(_is_reach, window))):
        raise OpError(
            f"window is {window!r}",
            where="attention",
            known="an int with is_causal=True, (left, right) of ints >= 0 or None, None",
        )
    left, right = window
    return left, right if causal_right is None else causal_right


def _is_reach(reach: object) -> bool:
    return reach is None or (isinstance(reach, int) and not isinstance(reach, bool) and reach >= 0)


def check_offset(query_offset: int, is_positional: bool) -> None:
    """An int, and something that depends on it."""
    if isinstance(query_offset, bool) or not isinstance(query_offset, int | torch.SymInt):
        raise OpError(f"query_offset is {query_offset!r}", where="attention", fix="pass an int")
    if isinstance(query_offset, int) and abs(query_offset) >= MAX_OFFSET:
        raise OpError(f"query_offset is {query_offset}", where="attention", fix="stay within 2**60")
    if query_offset and not is_positional:
        raise OpError(
            f"query_offset is {query_offset}, and nothing depends on positions",
            where="attention",
            fix="pass is_causal, window or alibi_slopes, or leave query_offset out",
        )


def check_per_head(name: str, x: Tensor, query: Tensor) -> None:
    """One number per query head: shape ``(H,)``, float32 or the dtype of ``query``."""
    if x.dtype not in (torch.float32, query.dtype):
        raise DtypeError(
            f"{name} is {_names(x.dtype)}",
            where=f"attention, query {_names(query.dtype)}",
            known=_names(torch.float32, query.dtype),
        )
    _check_device(name, x, query)
    if query.dim() < 3 or x.shape != query.shape[-3:-2]:
        raise ShapeError(
            f"{name} is {tuple(x.shape)} for a query {tuple(query.shape)}",
            where="attention",
            fix="query is (..., H, Q, D) and this (H,)",
        )


def check_documents(
    cu_seqlens: Tensor | None,
    cu_seqlens_k: Tensor | None,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_offset: int,
) -> None:
    """For one packed sequence; or for one of queries and one of keys, of as many documents."""
    if cu_seqlens is None:
        raise OpError(
            "cu_seqlens_k is given without cu_seqlens",
            where="attention",
            fix="pass cu_seqlens, the starts of the queries' documents, too",
        )
    _check_starts("cu_seqlens", cu_seqlens, query, "queries")
    is_batched = any([math.prod(x.shape[:-3]) != 1 for x in (query, key, value)])
    if cu_seqlens_k is not None:
        _check_starts("cu_seqlens_k", cu_seqlens_k, key, "keys")
        if cu_seqlens_k.shape != cu_seqlens.shape:
            raise ShapeError(
                f"cu_seqlens_k is {tuple(cu_seqlens_k.shape)}",
                where=f"attention, cu_seqlens {tuple(cu_seqlens.shape)}",
                fix="give every document queries and keys, of which there may be none",
            )
        if is_batched:
            raise _shape_error("packed documents need batch 1", query, key, value)
        return
    if key.size(-2) != query.size(-2) or is_batched:
        raise _shape_error(
            "cu_seqlens packs documents into one sequence: batch 1, as many keys as queries",
            query,
            key,
            value,
            fix="pass cu_seqlens_k too where documents have other lengths among the keys",
        )
    if query_offset:
        raise OpError(
            f"query_offset is {query_offset} with cu_seqlens",
            where="attention",
            fix="packed documents hold queries and keys at the same positions; leave it out",
        )


def _check_starts(name: str, starts: Tensor, packed: Tensor, what: str) -> None:
    """int32 ``(documents + 1,)`` from 0 up to the length.

    The values are looked at where that waits for no device: on the CPU, outside of tracing.
    """
    if starts.dtype != torch.int32:
        raise DtypeError(f"{name} is {_names(starts.dtype)}", where="attention", known="int32")
    _check_device(name, starts, packed)
    if starts.dim() != 1 or starts.numel() < 2:
        raise ShapeError(
            f"{name} is {tuple(starts.shape)}",
            where="attention",
            fix="pass the start of each document and the total length, (documents + 1,)",
        )
    length = packed.size(-2)
    has_values = starts.is_cpu and type(starts) is Tensor
    is_transformed = torch._C._are_functorch_transforms_active()
    if has_values and not is_transformed and not torch.compiler.is_compiling():
        values = starts.tolist()
        if values[0] != 0 or values[-1] != length or values != sorted(values):
            raise OpError(
                f"{name} is {values if len(values) < 9 else [*values[:4], '...', values[-1]]}",
                where=f"attention, {length} {what}",
                fix=f"start with 0, never decrease, end with {length}",
            )


def _check_device(name: str, x: Tensor, query: Tensor) -> None:
    if x.device != query.device:
        raise OpError(
            f"{name} is on {x.device}, query on {query.device}",
            where="attention",
            fix="move them to one device",
        )


def _shape_error(
    what: str, query: Tensor, key: Tensor, value: Tensor, fix: str | None = None
) -> ShapeError:
    shapes = f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}"
    return ShapeError(f"{what}: {shapes}", where="attention", fix=fix)


def _names(*dtypes: torch.dtype) -> str:
    return ", ".join(str(dtype).removeprefix("torch.") for dtype in dict.fromkeys(dtypes))
