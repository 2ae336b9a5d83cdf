"""Softmax attention with what language models add to it."""

import math
import platform
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad

from dlplug.ops import _attention_checks as checks
from dlplug.ops import _attention_choice as choice
from dlplug.ops import _attention_kernels as kernels
from dlplug.ops import _backend
from dlplug.ops.fallback import attention as reference
from dlplug.ops.fallback import philox

KERNEL_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
MAX_WIDTH = 256  # head dimensions that the kernels take

# Multiply-adds of the scores below which 9 us more for a call, 25 us with gradients, count; and
# with a mask, whose checks take as long again.
SMALLEST_WORK = {torch.float32: 200_000, torch.bfloat16: 50_000, torch.float16: 50_000}
SMALLEST_MASKED_WORK = {torch.float32: 800_000, torch.bfloat16: 200_000, torch.float16: 200_000}
IS_MEASURED = platform.machine().lower() in ("x86_64", "amd64")


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    window: checks.Window = None,
    query_offset: int = 0,
    alibi_slopes: Tensor | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    cu_seqlens: Tensor | None = None,
    cu_seqlens_k: Tensor | None = None,
) -> Tensor:
    """``softmax(scale * query key^T) value``, as ``F.scaled_dot_product_attention``, and more.

    The scores go through, in this order: ``scale``; ``softcap * tanh(x / softcap)``; ALiBi,
    ``x - slope * |i + query_offset - j|``; the mask, which is added if it is float; and the
    softmax, whose sum also counts ``exp(sink)``. All given masks must agree for query i to see
    key j; a float one hides by -inf. A query that sees no key gives 0, and gradient 0. A NaN or
    infinity in a key or value may reach queries that do not see it.

    Args:
        query: ``(..., H, Q, D)``, float32, bfloat16, float16 or float64; any strides.
        key: ``(..., H, K, D)``; leading sizes broadcast.
        value: ``(..., H, K, E)``.
        attn_mask: Bool (True: seen) or float of ``query``'s dtype or float32 (added to the
            scores), broadcastable to ``(..., H, Q, K)``. Blocks of 64 queries and 256 keys (on
            a GPU 64) that it hides are skipped. A float mask learns; its gradient is summed in
            float32.
        dropout_p: Probability of dropping a weight; give 0 in evaluation.
        is_causal: Query i sees keys up to position ``i + query_offset``.
        scale: Factor of the scores; None for 1 / sqrt(D).
        enable_gqa: Key and value may have fewer heads, each shared by H / heads query heads.
        window: An int w with ``is_causal``: query i sees the w keys up to its own position.
            A pair (left, right): ``-right <= i + query_offset - j <= left``, None for no bound.
        query_offset: Position of the first query where the first key's is 0, such as the number
            of cached keys before it. 0 aligns queries and keys at the start, as torch does.
        alibi_slopes: ``(H,)``, float32 or ``query``'s dtype.
        softcap: Bound of the scores' size, positive.
        sinks: ``(H,)``, one logit per head, float32 or ``query``'s dtype.
        cu_seqlens: int32 ``(documents + 1,)`` from 0 to Q: where each document of one packed
            sequence starts, then the length; needs batch 1 and Q = K. The values are checked on
            the CPU outside of compile; elsewhere wrong ones give other documents.
        cu_seqlens_k: The same of the keys, from 0 to K, where the documents have other lengths
            there; ``cu_seqlens`` is then the queries' alone. Positions count from the start of
            each document, its first query at ``query_offset``.
    Returns:
        ``(..., H, Q, E)`` in ``query``'s dtype; under autocast in autocast's, as torch's own.
    Raises:
        ShapeError: Sizes that do not belong together.
        DtypeError: Dtypes that are not listed above.
        OpError: A number out of its range, or arguments that contradict each other.
        BackendError: The backend asked for cannot take the call.
    Numerics: at most twice PyTorch's own rounding error; half precision sums in float32. float16
    is multiplied in float32, bfloat16 too unless the processor multiplies it itself (AVX512_BF16,
    AMX), which takes denormals, smaller than 1.2e-38, for 0. On a GPU 16-bit ones are multiplied by
    its tensor cores, weights and their gradients rounded to the dtype, and float32 by itself; where
    ``torch.backends.cuda.matmul.fp32_precision`` is ``tf32``, float32 factors and weights are
    rounded to float16's 11 binary digits instead (TF32), each by at most 1/2048 of itself.
    Differentiable twice where the kernels take the call, not where PyTorch's own op does (small
    ones, float64): ``use_backend("reference")`` is for those. Deterministic for any thread count
    and on a GPU; a seed drops the same weights on every backend. ``DLPLUG_ATTENTION`` asks for
    certain kernels (dlplug/ops/_attention_choice.py).
    References: Vaswani et al. 2017, arXiv:1706.03762; Dao et al. 2022, arXiv:2205.14135; Press et
    al. 2022, arXiv:2108.12409 (ALiBi); arXiv:2408.00118 (softcap); arXiv:2508.10925 (sinks).
    """
    if (
        (attn_mask is window is alibi_slopes is softcap is sinks is None)
        and cu_seqlens is cu_seqlens_k is None
        and (dropout_p == 0 and type(query_offset) is int and query_offset == 0)
        and (scale is None or (type(scale) is float and scale > 0))
        and _is_left_to_torch(query, key, value)
    ):
        try:
            return F.scaled_dot_product_attention(
                query, key, value, is_causal=is_causal, scale=scale, enable_gqa=enable_gqa
            )
        except RuntimeError:
            pass  # the checks below say what is wrong as they do on every backend
    query, key, value = _as_autocast(query, key, value)
    checks.check_tensors(query, key, value, enable_gqa)
    checks.check_numbers(dropout_p, scale, softcap)
    left, right = checks.bounds(window, is_causal)
    if attn_mask is not None:
        checks.check_mask(attn_mask, query, key, enable_gqa)
    if alibi_slopes is not None:
        checks.check_per_head("alibi_slopes", alibi_slopes, query)
    if sinks is not None:
        checks.check_per_head("sinks", sinks, query)
    if query_offset != 0 or type(query_offset) is not int:
        has_positions = left is not None or right is not None or alibi_slopes is not None
        checks.check_offset(query_offset, has_positions)
    if cu_seqlens is not None or cu_seqlens_k is not None:
        checks.check_documents(cu_seqlens, cu_seqlens_k, query, key, value, query_offset)

    route = OP.route(
        query,
        key,
        value,
        attn_mask,
        dropout_p,
        window,
        query_offset,
        alibi_slopes,
        softcap,
        sinks,
        cu_seqlens,
        cu_seqlens_k,
    )
    if cu_seqlens_k is not None:
        cu_seqlens = torch.stack([cu_seqlens, cu_seqlens_k])
    seed = philox.draw_seed(query.device) if dropout_p > 0 else None
    options = reference.Options(
        attn_mask,
        alibi_slopes,
        cu_seqlens,
        seed,
        dropout_p,
        _scale(query) if scale is None else scale,
        softcap,
        left,
        right,
        query_offset,
        choice.may_use_tf32(query),
    )
    if route == "native":
        return _run_kernel(query, key, value, sinks, options)
    if route == "torch":
        return _run_torch(query, key, value, is_causal, enable_gqa, options)
    return reference.attention(query, key, value, sinks, options)


def _is_left_to_torch(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether a plain call of these is one that ``OP.route`` gives to PyTorch.

    Those that are seen at a glance: checking and routing the others takes 7 us, twice as long as
    the smallest of them.
    """
    if query.is_nested and _backend.is_auto():
        return True
    if (
        torch.compiler.is_compiling()
        or not (_backend.is_auto() and query.is_cpu and "cpu" in kernels.forward.devices)
        or choice.forced is not None
        or torch.is_autocast_enabled("cpu")
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
    ):
        return False
    q, k = query.shape, key.shape
    if len(q) < 3 or k != value.shape or (q != k and (q[:-2] != k[:-2] or q[-1] != k[-1])):
        return False
    return 0 < query.numel() * k[-2] < SMALLEST_WORK.get(query.dtype, 0)


def _as_autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """What torch's autocast does to the arguments of its own attention."""
    device = "cpu" if tensors[0].is_cpu else tensors[0].device.type
    if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(
        x.to(dtype) if x.is_floating_point() and x.dtype != torch.float64 else x for x in tensors
    )


def _scale(query: Tensor) -> float:
    return 1 / math.sqrt(query.size(-1)) if query.size(-1) > 0 else 1.0


def _run_kernel(
    query: Tensor, key: Tensor, value: Tensor, sinks: Tensor | None, options: reference.Options
) -> Tensor:
    if sinks is not None:
        sinks = sinks.float().contiguous()
    if options.alibi_slopes is not None:
        options = options._replace(alibi_slopes=options.alibi_slopes.float().contiguous())
    if options.cu_seqlens is not None and not options.cu_seqlens.is_contiguous():
        options = options._replace(cu_seqlens=options.cu_seqlens.contiguous())
    if options.attn_mask is not None and options.attn_mask.dim() != 4:
        options = options._replace(attn_mask=_four_axes(options.attn_mask))
    biases = (options.attn_mask, options.dropout_p, options.alibi_slopes)
    is_hopper = bool(kernels.hopper_forward.devices) and _takes_hopper(query, key, value, *biases)
    forward = kernels.hopper_forward if is_hopper else kernels.forward
    if query.dim() == 4:
        return forward(query, key, value, sinks, *options)[0]
    four = (_four_axes(x) for x in (query, key, value))
    out, _ = forward(*four, sinks, *options)
    return out.reshape(*query.shape[:-1], value.size(-1))


def _takes_hopper(query, key, value, attn_mask, dropout_p, alibi_slopes) -> bool:
    devices = kernels.hopper_forward.devices
    return choice.takes_hopper(devices, query, key, value, attn_mask, dropout_p, alibi_slopes)


def _four_axes(x: Tensor) -> Tensor:
    return x.flatten(0, -4) if x.dim() > 4 else x[(None,) * (4 - x.dim())]


def _run_torch(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    is_causal: bool,
    enable_gqa: bool,
    options: reference.Options,
) -> Tensor:
    """PyTorch's own op; a mask says what it has no argument for."""
    attn_mask = options.attn_mask
    positions = (options.left, options.right, options.query_offset)
    is_plain = positions == (None, 0 if is_causal else None, 0)
    if attn_mask is not None or options.cu_seqlens is not None or not is_plain:
        is_causal = False
        is_bias = attn_mask is not None and attn_mask.dtype != torch.bool
        seen = reference.visible(query, key, options)
        if not is_bias:
            attn_mask = seen
        elif seen is not None:
            attn_mask = attn_mask.masked_fill(~seen, -torch.inf)
        if is_bias and query.dtype == torch.float64:
            attn_mask = attn_mask.double()  # PyTorch's own op adds others of a float32 one
        attn_mask = torch.atleast_2d(attn_mask)
    scale = options.scale
    if scale <= 0:  # which PyTorch's own op multiplies by the -inf of what a causal mask hides
        query, scale = (query * 0, 1.0) if scale == 0 else (-query, -scale)
    arguments = {"is_causal": is_causal, "scale": scale, "enable_gqa": enable_gqa}
    if choice.forced is None and (query.is_cpu or not choice.FASTEST):
        return F.scaled_dot_product_attention(query, key, value, attn_mask, **arguments)
    with choice.torch_kernel(query):
        return F.scaled_dot_product_attention(query, key, value, attn_mask, **arguments)


def _refuse(query, key, value, attn_mask, dropout_p, window, query_offset, alibi_slopes, *_):
    """Why the kernels cannot take a call, or None."""
    if query.dtype not in KERNEL_DTYPES:
        return f"{query.dtype} is not float32, bfloat16 or float16"
    q, k, v = query.shape, key.shape, value.shape
    if not (0 < q[-1] <= MAX_WIDTH and 0 < v[-1] <= MAX_WIDTH):
        return f"head dimensions {q[-1]} and {v[-1]} are not 1 to {MAX_WIDTH}"
    if not len(q) == len(k) == len(v):
        return "query, key and value differ in their number of axes"
    if q[:-3] != k[:-3] or k[:-2] != v[:-2]:
        return "the leading sizes of query, key and value are broadcast"
    if len(q) > 2 and k[-3] > q[-3]:
        return "the heads of query are broadcast"
    if 0 in q or 0 in k:
        return "a tensor is empty"
    if attn_mask is not None and len(q) > 4:
        given = attn_mask.shape[:-3]
        if given != q[:-3] and given.numel() != 1:
            return "attn_mask is broadcast over some of several leading sizes"
    if choice.forced == "hopper":
        devices = kernels.hopper_forward.devices
        return choice.why_not_hopper(devices, query, value, attn_mask, dropout_p, alibi_slopes)
    return None


def _decline(query, key, value, attn_mask, dropout_p, window, query_offset, *extras):
    """Why PyTorch's own op is faster, or None; measured on a Zen 5 with AVX-512, torch 2.13."""
    if choice.forced is not None:
        return None if choice.forced in choice.OWN else f"{choice.VARIABLE}={choice.forced}"
    if query.is_cpu and torch.compiler.is_compiling():  # a bound would become a guard on the sizes
        return None
    has_features = (
        dropout_p != 0
        or window is not None
        or query_offset != 0
        or any(extra is not None for extra in extras)
    )
    if not query.is_cpu:
        if _takes_hopper(query, key, value, attn_mask, dropout_p, extras[0]):
            return None
        return choice.why_torch_on_gpu(query, key, attn_mask, has_features)
    if has_features:
        return None
    if not IS_MEASURED:
        return f"the kernels' speed on {platform.machine()} is not known"
    work = query.numel() * key.size(-2)
    smallest = SMALLEST_WORK if attn_mask is None else SMALLEST_MASKED_WORK
    if work < smallest[query.dtype]:  # as in _is_left_to_torch
        return f"{work} multiply-adds for the scores take less time than the call"
    return None


def _otherwise(
    query, key, value, attn_mask, dropout_p, window, query_offset, alibi_slopes, softcap, sinks, *_
):
    """PyTorch's own op for what it can do, by a mask if need be."""
    if choice.forced in choice.OWN:
        refused = OP.refusal(
            query, key, value, attn_mask, dropout_p, window, query_offset, alibi_slopes
        )
        raise choice.cannot(choice.forced, refused)
    why = None
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        why = "its CPU kernel has no rules for transforms and forward mode"
    elif not (dropout_p == 0 and alibi_slopes is None and softcap is None and sinks is None):
        # Its dropout draws from another generator: the same seed would drop other weights.
        why = "PyTorch's op has no alibi_slopes, softcap or sinks, and drops other weights"
    elif key.size(-2) == 0:
        why = "without keys PyTorch's op makes NaN of one infinity, and has no gradient of a mask"
    elif attn_mask is not None and attn_mask.requires_grad and _is_any_empty(query, key, value):
        why = "of empty tensors PyTorch's op gives a mask no gradient"
    if why is None:
        return "torch"
    if choice.forced is not None:
        raise choice.cannot(choice.forced, why)
    return "reference"


def _is_any_empty(*tensors: Tensor) -> bool:
    return any(tensor.numel() == 0 for tensor in tensors)


class _Attention(_backend.Op):
    def explain(self, *args) -> _backend.Explanation:
        """As every op's, of what autocast makes of the arguments; ``hopper`` is told apart."""
        query, key, value = _as_autocast(*args[:3])
        found = super().explain(query, key, value, *args[3:])
        if found.backend in ("torch", "reference"):
            return found
        attn_mask, dropout_p, _, _, alibi_slopes, *_ = args[3:]
        is_hopper = _takes_hopper(query, key, value, attn_mask, dropout_p, alibi_slopes)
        return replace(found, backend="hopper") if is_hopper else found


OP = _backend.register(
    _Attention(
        function=attention,
        arguments=(
            "query",
            "key",
            "value",
            "attn_mask",
            "dropout_p",
            "window",
            "query_offset",
            "alibi_slopes",
            "softcap",
            "sinks",
            "cu_seqlens",
            "cu_seqlens_k",
        ),
        kernels=(kernels.forward, kernels.backward),
        refuse=_refuse,
        decline=_decline,
        otherwise=_otherwise,
    )
)
