"""Random calls of ``attention``: any product of what it takes."""

import math

import torch
from torch import Tensor

from dlplug import ops
from tests.fuzz.adamw import FLUSHED, largest_of
from tests.fuzz.call import Call, Results, outputs_and_gradients
from tests.fuzz.dice import DTYPES, Dice
from tests.fuzz.seen_pairs import leaks_of, without_leaks

NAME = "attention"
WORK, MUCH_WORK = 100_000, 4_000_000  # multiply-adds of the scores


def draw(dice: Dice) -> Call:
    """Any shapes, strides, dtypes and options that do not contradict each other."""
    dtype = torch.float64 if dice.chance(0.03) else dice.choice(DTYPES)
    is_packed = dice.chance(0.15)
    leading, heads, groups, queries, keys, width, value_width = _sizes(dice, is_packed)
    kind = dice.kind("special") if dice.chance(0.3) else "normal"
    shapes = {
        "query": (*leading, *heads, queries, width),
        "key": (*leading, *groups, keys, width),
        "value": (*leading, *groups, keys, value_width),
    }
    placed = {name: dice.placed(dice.values(s, dtype, kind)) for name, s in shapes.items()}
    options = _positions(dice, queries, keys, is_packed)
    if is_packed:
        starts = sorted(dice.randint(0, queries) for _ in range(dice.randint(0, 5)))
        starts = torch.tensor([0, *starts, queries], dtype=torch.int32)
        placed["cu_seqlens"] = dice.placed(starts, may_expand=False)
    if heads:
        for name in ("sinks", "alibi_slopes"):
            if dice.chance(0.25):
                drawn = dice.values(heads, dice.choice((dtype, torch.float32)))
                placed[name] = dice.placed(drawn.abs() if name == "alibi_slopes" else drawn)
    if dice.chance(0.12):
        placed["attn_mask"] = dice.placed(_mask(dice, dtype, (*leading, *heads, queries, keys)))
    if "alibi_slopes" not in placed and not options.get("is_causal") and "window" not in options:
        options.pop("query_offset", None)  # nothing would depend on it
    options["enable_gqa"] = heads != groups
    options |= _numbers(dice)
    can_have = {name for name, x in placed.items() if x.tensor.is_floating_point()}
    needed = {name for name in sorted(can_have) if dice.chance(0.6)}
    grad = dice.placed(dice.values((*leading, *heads, queries, value_width), dtype))
    return _call(placed, grad, needed, options)


def _sizes(dice: Dice, is_packed: bool) -> tuple:
    """Leading sizes, query heads, key heads (each of one axis or none), Q, K, D, E."""
    axes = dice.choices((0, 1, 2, 3), (4, 6, 84, 6))[0]
    heads = dice.choice((1, 1, 2, 3, 4, 6))
    groups = dice.choice([n for n in range(1, heads + 1) if heads % n == 0])
    if dice.chance(0.5):
        groups = heads
    leading = [1 if is_packed else dice.choice((1, 1, 2, 3)) for _ in range(axes - 1)]
    heads, groups = ((heads,), (groups,)) if axes else ((), ())
    width, value_width = (max(1, min(256, dice.size(256))) for _ in "DE")
    if dice.chance(0.6):
        value_width = width
    limit = MUCH_WORK if dice.chance(0.04) else WORK
    room = limit / (math.prod(leading) * math.prod(heads) * max(width, value_width))
    queries = dice.size(min(1100, max(2, int(room))))
    keys = dice.size(min(2000, max(2, int(room / max(1, queries)))))
    if is_packed or dice.chance(0.4):
        queries = keys = min(max(1, queries), max(2, math.isqrt(int(room)) if room > 1 else 1))
    if dice.chance(0.97):
        queries, keys = max(1, queries), max(1, keys)
    return tuple(leading), heads, groups, queries, keys, width, value_width


def _positions(dice: Dice, queries: int, keys: int, is_packed: bool) -> dict:
    """What rules which keys a query sees."""
    options = {"is_causal": dice.chance(0.45)}
    reach = max(queries, keys)
    if dice.chance(0.35):
        if options["is_causal"] and dice.chance(0.5):
            options["window"] = dice.randint(1, reach + 2)
        else:
            sides = [None if dice.chance(0.3) else dice.randint(0, reach) for _ in "lr"]
            options["window"] = tuple(sides)
    if dice.chance(0.3) and not is_packed:
        options["query_offset"] = dice.choice((keys - queries, dice.randint(-reach, reach)))
    if options.get("window") == (None, None) and not options["is_causal"]:
        del options["window"]
    return options


def _numbers(dice: Dice) -> dict:
    numbers = {}
    if dice.chance(0.25):
        numbers["scale"] = dice.choice((0.0, 1.0, -0.3, dice.power(-2, 0)))
    if dice.chance(0.25):
        numbers["softcap"] = dice.choice((0.5, 30.0, dice.power(-1, 2)))
    if dice.chance(0.2):
        numbers["dropout_p"] = dice.choice((0.1, 0.5, 1.0, dice.random()))
    return numbers


def _mask(dice: Dice, dtype: torch.dtype, scores: tuple[int, ...]) -> Tensor:
    """Bool or float, of any shape that broadcasts to the scores'."""
    shape = [1 if dice.chance(0.25) else n for n in scores]
    shape = shape[dice.randint(0, len(shape) - 1) :]
    seen = torch.rand(shape, generator=dice.numbers) < 0.8
    if dice.chance(0.5):
        return seen
    bias = dice.values(tuple(shape), dice.choice((dtype, torch.float32)))
    return bias.masked_fill(~seen, -math.inf) if dice.chance(0.5) else bias


def _call(placed, grad, needed, options) -> Call:
    views = {name: x.tensor for name, x in placed.items()}

    def results(dtype=None) -> Results:
        def call(**tensors):
            return ops.attention(**tensors, **options)

        return outputs_and_gradients(call, views, (grad.tensor,), needed, dtype)

    def by_reference(index: int, dtype=None) -> Results:
        torch.manual_seed(index)
        with ops.use_backend("reference"):
            return results(dtype)

    def right(index: int, dtype=None) -> Results:
        return without_leaks(lambda: by_reference(index, dtype))

    def leaks(index: int) -> dict[str, Tensor]:
        wide = leaks_of(lambda: by_reference(index, torch.float64))
        return {n: x | wide[n] for n, x in leaks_of(lambda: by_reference(index)).items()}

    def roundings(index: int) -> dict[str, float]:
        found = _roundings(views, grad.tensor, options)
        if "sinks" in needed and found:
            output = right(index, torch.float64)["output 0"]
            found["gradient of sinks"] += _lost_by_sinks(views, grad.tensor, options, output)
        return found

    def changed(**others):
        return lambda: ops.attention(**{**views, **options, **others})

    return Call(
        run=results,
        peers=lambda index: [right(index)],
        oracle=lambda index: right(index, torch.float64),
        inputs=[*placed.values(), grad],
        leaks=leaks,
        roundings=roundings,
        wrong=_wrong(views, options, changed),
    )


def _roundings(views: dict[str, Tensor], grad: Tensor, options: dict) -> dict[str, float]:
    """Of the largest gradients of scores, times what these are multiplied with.

    In the query's dtype, in which the output is kept for the backward pass.
    """
    # What is not finite is no term of a finite result.
    query, key, value, grad = (
        x.double().nan_to_num(0.0, 0.0, 0.0)
        for x in (views["query"], views["key"], views["value"], grad)
    )
    if not (query.numel() and key.numel() and value.numel()):
        return {}
    of_weights = (grad.norm(dim=-1).max() * value.norm(dim=-1).max()).item()
    scale = options.get("scale")
    scale = abs(1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    p = options.get("dropout_p", 0.0)
    kept = 1 / (1 - p) if p < 1 else 0.0
    q, k, v = (x.abs().max().item() for x in (query, key, value))
    reach = max(query.shape[-2], key.shape[-2])
    terms = {
        "output 0": v * kept,
        "gradient of query": of_weights * kept * scale * k,
        "gradient of key": of_weights * kept * scale * q,
        "gradient of value": grad.abs().max().item() * kept,
        "gradient of sinks": of_weights * kept,
        "gradient of attn_mask": of_weights * kept,
        "gradient of alibi_slopes": of_weights * kept * reach,
    }
    # Scores, which are made in float32, change the weights by as much as they are off.
    if query.dim() > 2:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], dim=-3)
    scores = scale * (q * k + (query @ key.mT).abs().max().item())
    if "alibi_slopes" in views:
        scores += largest_of(views["alibi_slopes"]) * (reach + abs(options.get("query_offset", 0)))
    if "attn_mask" in views:
        scores += largest_of(views["attn_mask"].double())
    eps = torch.finfo(views["query"].dtype).eps + torch.finfo(torch.float32).eps * scores
    found = {name: term * eps + FLUSHED * max(1.0, kept) for name, term in terms.items()}
    if views["query"].dtype == torch.bfloat16:
        flushed = FLUSHED * kept * sum(x.abs().sum(-1).max().item() for x in (grad, value))
        for name, terms_of_weights in _terms_of_biases(views, reach).items():
            found[name] += flushed * terms_of_weights
    return found


def _terms_of_biases(views: dict[str, Tensor], reach: int) -> dict[str, float]:
    """How many gradients of weights, at most, add up to one of what is added to the scores.

    AVX-512's products of bfloat16, which these are, take denormals for 0.
    """
    query, mask = views["query"], views.get("attn_mask")
    rows = math.prod(query.shape[:-1])
    scores = rows * views["key"].shape[-2]
    return {
        "gradient of sinks": rows,
        "gradient of alibi_slopes": rows * reach,
        "gradient of attn_mask": 0 if mask is None else scores / max(1, mask.numel()),
    }


def _lost_by_sinks(views: dict[str, Tensor], grad: Tensor, options: dict, output: Tensor) -> float:
    """How far the gradient of a sink is off as the output, which it is made of, is rounded.

    Sum over the rows of weight of the sink * ((rounded output - output) . grad_out), in float64:
    where rows are alike their roundings do not cancel, and denormals are rounded by much.
    """
    with ops.use_backend("reference"):
        doubled = {n: x.double() if x.is_floating_point() else x for n, x in views.items()}
        doubled["value"] = torch.ones_like(doubled["value"][..., :1])
        seen = ops.attention(**doubled, **options | {"dropout_p": 0.0})  # what the keys weigh
    change = (output.to(views["query"].dtype).double() - output) * grad.double()
    lost = ((1 - seen) * change).sum((-2, -1)).reshape(-1, seen.shape[-3]).sum(0)
    return max(lost[lost.isfinite()].abs().tolist(), default=0.0)


def _wrong(views: dict[str, Tensor], options: dict, changed) -> dict:
    query, key, value = views["query"], views["key"], views["value"]
    other = torch.float16 if query.dtype != torch.float16 else torch.float32
    more = value.new_ones(*value.shape[:-2], value.shape[-2] + 1, value.shape[-1])
    calls = {
        "key of another dtype": changed(key=key.to(other)),
        "integers": changed(query=query.int(), key=key.int(), value=value.int()),
        "a query of one axis": changed(query=torch.ones(query.shape[-1], dtype=query.dtype)),
        "key too wide": changed(key=key.new_ones(*key.shape[:-1], key.shape[-1] + 1)),
        "a value too many": changed(value=more),
        "mask of integers": changed(attn_mask=torch.ones(1, 1, dtype=torch.int32)),
        "mask too wide": changed(attn_mask=torch.ones(key.shape[-2] + 2, dtype=torch.bool)),
        "dropout_p of 1.5": changed(dropout_p=1.5),
        "dropout_p of NaN": changed(dropout_p=math.nan),
        "scale of text": changed(scale="small"),
        "softcap of 0": changed(softcap=0.0),
        "softcap of infinity": changed(softcap=math.inf),
        "window of 0": changed(window=0),
        "window without causality": changed(window=3, is_causal=False),
        "window of three": changed(window=(1, 2, 3)),
        "negative window": changed(window=(-1, None)),
        "query_offset of text": changed(query_offset="1"),
        "query_offset too large": changed(query_offset=2**61),
        "sinks of another shape": changed(sinks=torch.ones(query.shape[-3:-2].numel() + 1)),
        "slopes of integers": changed(alibi_slopes=torch.ones(1, dtype=torch.int64)),
        "cu_seqlens of int64": changed(cu_seqlens=torch.tensor([0, query.shape[-2]])),
        "cu_seqlens beyond": changed(
            cu_seqlens=torch.tensor([0, query.shape[-2] + 1], dtype=torch.int32)
        ),
    }
    if query.dim() > 2 and query.shape[-3] > 1:
        heads = query.shape[-3] + 1
        calls["key heads that do not divide"] = changed(
            key=key.new_ones(*key.shape[:-3], heads, *key.shape[-2:]),
            value=value.new_ones(*value.shape[:-3], heads, *value.shape[-2:]),
        )
    return calls
