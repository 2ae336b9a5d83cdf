"""What attention's kernels must hold, on a GPU or in an emulation: one check a property.

Each runs the backend that is selected, on tensors of ``device``, beside the reference.
"""

import math
import random

import torch
from torch import Tensor

from dlplug import ops
from dlplug.ops import _attention_kernels as kernels
from tests.ops.attention_cases import (
    assert_within_twice,
    draw,
    make_inputs,
    oracle,
    plain,
    with_gradients,
)

# Sizes: batch, heads, key heads, queries, keys, D, E. The smallest; odd ones; around the tiles of
# 16 rows, of 64 and 128 queries and of 8 to 64 keys; each of the widths 64, 128 and 256 that the
# kernels are made for, filled and not.
SHAPES = [
    (1, 1, 1, 1, 2, 1, 1),
    (2, 3, 3, 5, 7, 3, 5),
    (1, 4, 2, 15, 17, 16, 16),
    (1, 2, 1, 17, 15, 33, 31),
    (1, 1, 1, 65, 63, 64, 64),
    (1, 2, 2, 130, 127, 24, 40),
    (1, 1, 1, 40, 70, 128, 100),
    (1, 1, 1, 20, 33, 65, 128),
    (1, 1, 1, 35, 40, 256, 129),
    (1, 2, 1, 7, 18, 200, 256),
]
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
# Few queries beside many keys, whose keys are split: of heads that share a key head, in one and in
# several tiles of 16 rows, and in ranges that the last tile does not fill.
FEW_SHAPES = [
    (1, 8, 2, 1, 600, 64, 64),
    (2, 4, 4, 3, 330, 24, 20),
    (1, 6, 2, 7, 300, 128, 90),
    (1, 2, 1, 16, 270, 200, 256),
]
FEW = {
    "plain": {},
    "decoding": {"is_causal": True, "query_offset": 256},  # one key of the last tile
    "window": {"is_causal": True, "window": 200, "query_offset": 295},
    "two-sided": {"window": (None, 3), "query_offset": 255},
    "beyond": {"is_causal": True, "window": 2, "query_offset": 5000},
    "dropout": {"dropout_p": 0.3},
    "all": {
        "softcap": 2.0,
        "alibi_slopes": torch.linspace(0.001, 0.7, 8),
        "sinks": torch.linspace(-2.0, 3.0, 8),
        "dropout_p": 0.2,
        "window": (250, 40),
        "query_offset": 270,
    },
}
# Documents of other lengths among the queries than among the keys: of one token, without queries,
# without keys, and over the borders of tiles.
APART = {
    "cu_seqlens": torch.tensor([0, 1, 64, 64, 100, 150], dtype=torch.int32),
    "cu_seqlens_k": torch.tensor([0, 70, 70, 133, 170, 230], dtype=torch.int32),
}
FEW_APART = {
    "cu_seqlens": torch.tensor([0, 1, 1, 3, 8], dtype=torch.int32),
    "cu_seqlens_k": torch.tensor([0, 200, 260, 260, 600], dtype=torch.int32),
}
BATCH, HEADS, QUERIES, KEYS = 2, 2, 20, 70  # of `check_mask`


def mask_shapes(batch: int, heads: int, queries: int, keys: int) -> list[tuple[int, ...]]:
    """Whole; broadcast over each axis and over several; fewer axes."""
    return [
        (batch, heads, queries, keys),
        (1, heads, queries, keys),
        (batch, 1, queries, keys),
        (queries, keys),
        (batch, 1, 1, keys),
        (heads, queries, 1),
        (heads, 1, 1),
        (1,),
    ]


MASKS = mask_shapes(BATCH, HEADS, QUERIES, KEYS)


def on(device: str, tensors: list[Tensor], options: dict) -> tuple[list[Tensor], dict]:
    """Both, with every tensor on ``device``."""
    moved = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in options.items()}
    return [x.to(device) for x in tensors], moved


def found_and_reference(inputs, device: str, **options) -> list[list[Tensor]]:
    """Output and gradients of the selected backend, of the reference, and of that in float64."""
    (*tensors, grad), options = on(device, inputs, options)
    options["enable_gqa"] = True
    torch.manual_seed(3)
    found = with_gradients(ops.attention, tensors, grad, **options)
    torch.manual_seed(3)
    with ops.use_backend("reference"):
        peer = with_gradients(ops.attention, tensors, grad, **options)
    torch.manual_seed(3)
    return [found, peer, oracle(tensors, grad, **options)]


def check_shape(shape: tuple[int, ...], dtype: torch.dtype, is_causal: bool, device="cpu") -> None:
    """At most twice the error of the formula written in that dtype."""
    (*tensors, grad), _ = on(device, make_inputs(*shape, dtype), {})
    found = with_gradients(ops.attention, tensors, grad, is_causal=is_causal, enable_gqa=True)

    def repeated(q, k, v, **options):
        return plain(
            q, *(x.repeat_interleave(shape[1] // x.shape[1], 1) for x in (k, v)), **options
        )

    with torch.device(device):
        peer = with_gradients(repeated, tensors, grad, is_causal=is_causal)
    true = oracle(tensors, grad, is_causal=is_causal, enable_gqa=True)
    # The gradient of a query with one visible key is a difference of equal terms.
    assert_within_twice(found, true, peer, unit=8.0)


def check_extra(name: str, dtype: torch.dtype, device="cpu", sizes=(70, 150, 24, 20)) -> None:
    """An extra, over several tiles of queries and keys; peer: the reference in that dtype."""
    inputs = make_inputs(1, 2, 1, *sizes, dtype)
    found, peer, true = found_and_reference(inputs, device, **(POSITIONS | TERMS)[name])
    # The reference sums half precision in float32 and rounds once; so do the kernels, but for the
    # weights and their gradients, which they round to the dtype for the products with them.
    # The gradient of a slope sums up distances of up to 150, times weights and gradients.
    units = {"alibi": [1000.0], "all": [16.0, 1000.0]}.get(name, [16.0])
    assert_within_twice(found, true, peer, 16.0, units)


def check_few(name: str, dtype: torch.dtype, device="cpu") -> None:
    """Few queries beside many keys, with any extra; all of them with masks, too."""
    for batch, heads, *sizes in FEW_SHAPES:
        options = {key: x[:heads] if isinstance(x, Tensor) else x for key, x in FEW[name].items()}
        inputs = make_inputs(batch, heads, *sizes, dtype)
        _, queries, keys, *_ = sizes
        masks = [None]
        if name == "all":
            masks += [make_mask("bool", (batch, 1, 1, keys), dtype)]
            masks += [make_mask("hiding", (1, heads, queries, keys), dtype)]
        for mask in masks:
            found, peer, true = found_and_reference(inputs, device, attn_mask=mask, **options)
            # Of sinks, mask and slopes, as in `check_mask`; the last with distances of up to 600.
            units = [32.0, 64.0, 3000.0] if mask is masks[-1] else [32.0, 3000.0]
            assert_within_twice(found, true, peer, 16.0, units)


def check_tf32(name: str, device="cpu", sizes=(70, 150, 24, 20)) -> None:
    """Float32 with factors of 11 digits is as good as float16, which has as many, summed as well.

    It must be selected; and it is not float32.
    """
    inputs = make_inputs(1, 2, 1, *sizes)
    options = TERMS.get(name, {})
    found, _, true = found_and_reference(inputs, device, **options)
    half = [x.half() for x in inputs]
    _, peer, _ = found_and_reference(half, device, **options)
    units = {"alibi": [1000.0], "all": [16.0, 1000.0]}.get(name, [16.0])
    assert_within_twice([x.half() for x in found], true, peer, 16.0, units)
    # The reference's products would be TF32 on a GPU, too.
    least = torch.finfo(torch.float32).eps * true[0].abs().max()
    assert (found[0] - true[0]).abs().max() > 20 * least


def draw_positions(
    dice: random.Random, batch: int, queries: int, keys: int
) -> tuple[tuple[int, int, int], dict]:
    """Which keys are seen, at random; with the sizes that documents ask for."""
    options = {"is_causal": dice.random() < 0.4}
    if dice.random() < 0.2:
        batch, queries, keys = 1, max(queries, keys), max(queries, keys)
        inner = sorted(dice.randint(0, keys) for _ in range(dice.randint(0, 4)))
        options["cu_seqlens"] = torch.tensor([0, *inner, keys], dtype=torch.int32)
    if dice.random() < 0.4:
        options["window"] = (dice.choice([None, dice.randint(0, keys)]), dice.randint(0, queries))
    if "cu_seqlens" not in options and (options["is_causal"] or "window" in options):
        options["query_offset"] = dice.choice([0, keys - queries, dice.randint(-queries, keys)])
    return (batch, queries, keys), options


def check_random(number: int, dtype: torch.dtype, device="cpu") -> None:
    """A product of features drawn at random."""
    dice = random.Random(number)
    heads, groups = dice.choice([(1, 1), (2, 1), (3, 3), (4, 2), (6, 2)])
    batch, queries, keys = dice.choice([1, 2]), dice.randint(1, 150), dice.randint(1, 150)
    if dice.random() < 0.2:
        queries, keys = dice.randint(1, 16), dice.randint(256, 700)
    (batch, queries, keys), options = draw_positions(dice, batch, queries, keys)
    width, value_width = (dice.choice([8, 33, 64, 65, 128, 200, 256]) for _ in "DE")
    extras = {
        "softcap": dice.uniform(0.5, 20.0),
        "scale": dice.uniform(-1.5, 1.5) / math.sqrt(width),
        "alibi_slopes": torch.tensor([dice.uniform(0, 0.6) for _ in range(heads)]),
        "sinks": torch.tensor([dice.uniform(-3, 3) for _ in range(heads)]),
        "dropout_p": dice.uniform(0, 0.5),
    }
    options |= {name: x for name, x in extras.items() if dice.random() < 0.4}
    units = {"sinks": 32.0, "alibi_slopes": 150.0 * (queries + keys)}
    if dice.random() < 0.5:
        shape = dice.choice(mask_shapes(batch, heads, queries, keys))
        kind = dice.choice(["bool", "float", "hiding", "like query"])
        options["attn_mask"] = make_mask(kind, shape, dtype)
        # Each term is off by a rounding, and the sum of so many by the root of their number.
        terms = batch * heads * queries * keys / math.prod(shape)
        units["attn_mask"] = 64.0 + 8.0 * math.sqrt(terms)
    inputs = make_inputs(batch, heads, groups, queries, keys, width, value_width, dtype)
    found, peer, true = found_and_reference(inputs, device, **options)
    learnt = [
        units[name]
        for name in ("sinks", "attn_mask", "alibi_slopes")
        if name in options and options[name].is_floating_point()
    ]
    assert_within_twice(found, true, peer, 32.0, learnt)


def make_mask(kind: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """``bool``; ``float``; ``hiding``: float with -inf; ``like query``: float of its dtype."""
    bias, seen = draw(*shape, seed=5), draw(*shape, seed=6) > -0.5
    if kind == "bool":
        return seen
    bias = bias.masked_fill(~seen, -math.inf) if kind == "hiding" else bias
    return bias.to(dtype) if kind == "like query" else bias


def check_mask(kind: str, shape, dtype: torch.dtype, device="cpu") -> None:
    """A mask alone and with all extras, and its gradient."""
    inputs = make_inputs(BATCH, HEADS, 1, QUERIES, KEYS, 12, 20, dtype)
    extras = {
        "softcap": 3.0,
        "alibi_slopes": torch.tensor([0.1, 0.7]),
        "sinks": torch.tensor([0.5, 3.0]),
        "dropout_p": 0.2,
        "window": (50, 40),
        "query_offset": 10,
    }
    for options in ({}, extras):
        mask = make_mask(kind, shape, dtype)
        found, peer, true = found_and_reference(inputs, device, attn_mask=mask, **options)
        # Sums of 40 terms for a sink, 70 or more for the mask, with distances for a slope.
        units = [32.0, 64.0, 500.0]
        if "sinks" not in options:
            units = units[1:]
        elif kind == "bool":
            units = units[::2]
        assert_within_twice(found, true, peer, 16.0, units)


def check_documents(dtype: torch.dtype, device="cpu", length=150) -> None:
    """Documents of one token, of none, and over the borders of tiles."""
    inputs = make_inputs(1, 2, 1, length, length, 16, 16, dtype)
    starts = torch.tensor([0, 1, 64, 64, 100, length], dtype=torch.int32)
    for options in ({}, {"is_causal": True, "window": 30}, {"dropout_p": 0.3, "softcap": 2.0}):
        found, peer, true = found_and_reference(inputs, device, cu_seqlens=starts, **options)
        assert_within_twice(found, true, peer, 16.0)


def check_documents_apart(dtype: torch.dtype, device="cpu") -> None:
    """Of other lengths among the queries than among the keys, where positions count in each."""
    terms = TERMS["all"] | {"window": (30, 9), "query_offset": 4, "is_causal": False}
    for sizes, starts in (((150, 230), APART), ((8, 600), FEW_APART)):
        inputs = make_inputs(1, 2, 1, *sizes, 16, 16, dtype)
        for options in ({}, {"is_causal": True, "window": 30, "query_offset": -2}, terms):
            found, peer, true = found_and_reference(inputs, device, **starts, **options)
            assert_within_twice(found, true, peer, 16.0, [16.0, 1000.0])


def check_blind_rows(dtype: torch.dtype, device="cpu") -> None:
    """Queries that see nothing give 0 and gradient 0: whole tiles of them, and some within one."""
    for offset in (-3, -70, 200):
        inputs = make_inputs(1, 2, 2, 90, 80, 8, 8, dtype)
        found, _, _ = found_and_reference(
            inputs, device, is_causal=True, window=2, query_offset=offset
        )
        position = torch.arange(90, device=device) + offset
        is_blind = (position < 0) | (position - 1 > 79)
        assert is_blind.any()
        for x in found[:2]:
            assert x[:, :, is_blind].eq(0).all()
            assert x[:, :, ~is_blind].ne(0).any() or is_blind.all()
            assert x.isfinite().all()
        seen = torch.zeros(2, 90, 80, dtype=torch.bool)
        seen[0, :64] = True
        seen[0, 3] = False
        for mask in (seen, torch.zeros(seen.shape).masked_fill(~seen, -math.inf)):
            found, _, _ = found_and_reference(inputs, device, attn_mask=mask[None])
            is_seen = seen.any(-1).to(device)
            assert found[0][0, is_seen].ne(0).all()
            assert all(x[0, ~is_seen].eq(0).all() for x in found[:2])
            assert all(x.isfinite().all() for x in found)


FAR = {"plain": {}, "sinks": {"sinks": torch.full((2,), -900.0)}, "drop": {"dropout_p": 0.3}}


def check_far_slopes(dtype: torch.dtype, name: str, offset: int, device="cpu") -> None:
    """Within twice bfloat16's rounding: the output's own does not meet a distance of 2,000."""
    inputs = make_inputs(1, 2, 1, 300, 300, 8, 8, dtype)
    options = FAR[name] | {"alibi_slopes": torch.tensor([0.5, 0.1]), "query_offset": offset}
    found, _, true = found_and_reference(inputs, device, **options)
    limit = 2 * torch.finfo(torch.bfloat16).eps * true[-1].abs().max()
    assert (found[-1] - true[-1]).abs().max() <= limit


def check_large_scores(dtype: torch.dtype, device="cpu") -> None:
    """Scores of +-1e4, or 1e13 in all but float16, pick the largest key."""
    for factor in (1e3, 1e3 if dtype == torch.float16 else 1e12):
        query, *others, grad = make_inputs(1, 2, 2, 20, 150, 16, 16, dtype)
        (*tensors, grad), _ = on(device, [query * factor, *others, grad], {})
        found = with_gradients(ops.attention, tensors, grad)
        assert all(x.isfinite().all() for x in found)
        peer = with_gradients(plain, tensors, grad)
        assert_within_twice(found[:1], oracle(tensors, grad), peer, unit=4.0)


def check_equal_large_scores(dtype: torch.dtype, device="cpu") -> None:
    """Of scores of 3e6, to which a float32 cannot add the log of their number: equal weights."""
    (query, key, value, grad), _ = on(device, make_inputs(1, 1, 1, 20, 80, 8, 8, dtype), {})
    tensors = (torch.full_like(query, 1000.0), torch.full_like(key, 1000.0), value)
    out, _, _, grad_value = with_gradients(ops.attention, tensors, grad)
    for found, mean in ((out, value.mean(2, True)), (grad_value, grad.sum(2, True) / 80)):
        torch.testing.assert_close(found, mean.expand_as(found), rtol=0.01, atol=0.002)


def check_not_finite(dtype: torch.dtype, device="cpu") -> None:
    """NaN and infinity in a query, key, value or mask: the same outputs are NaN as in torch."""
    for value in (math.nan, math.inf, -math.inf):
        for which in range(4):
            *tensors, _ = make_inputs(1, 1, 1, 20, 70, 8, 8, dtype)
            mask = torch.zeros(20, 70)
            if which < 3:
                tensors[which][0, 0, 3, 2] = value
            else:
                mask[3, 2] = value
            (*tensors, mask), _ = on(device, [*tensors, mask], {})
            found = ops.attention(*tensors, mask)
            q, k, v = (x.float() for x in tensors)
            expected = torch.softmax(q @ k.mT / math.sqrt(8) + mask, -1) @ v
            torch.testing.assert_close(
                found.float(), expected, equal_nan=True, rtol=0.02, atol=0.02
            )


def check_layouts(dtype: torch.dtype, device="cpu") -> None:
    """Slices, transposes, odd rows, addresses and steps, of every tensor: the copies' bits."""
    (query, key, value, grad), _ = on(device, make_inputs(2, 2, 2, 19, 37, 8, 16, dtype), {})
    mask = make_mask("hiding", (2, 1, 19, 37), dtype).to(device)
    layouts = {
        "heads inside": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
        "odd rows": lambda x: torch.cat([x, x[..., :1]], -1)[..., :-1],
        "misaligned": lambda x: torch.cat([x.flatten()[:1], x.flatten()])[1:].view(x.shape),
        "every second": lambda x: x.repeat_interleave(2, -1)[..., ::2],
        "transposed": lambda x: x.mT.contiguous().mT,
    }
    leaves = [x.detach().requires_grad_() for x in (query, key, value, mask)]
    out = ops.attention(*leaves)
    expected = [out, *torch.autograd.grad(out, leaves, grad)]
    for name, layout in layouts.items():
        leaves = [layout(x).detach().requires_grad_() for x in (query, key, value, mask)]
        out = ops.attention(*leaves)
        found = [out, *torch.autograd.grad(out, leaves, layout(grad))]
        assert all(map(torch.equal, found, expected)), name


def check_hidden_tiles(dtype: torch.dtype, device="cpu") -> None:
    """Keys, values and queries of NaN far from what anyone sees are not read, forward and back."""
    starts, others, late = (
        torch.tensor([0, *inner, 320], dtype=torch.int32)
        for inner in ((128, 256), (64, 192), (192, 256))
    )
    cases = [
        ({"is_causal": True, "query_offset": -192}, slice(0, 192), slice(128, 320)),
        ({"window": (10, 10), "query_offset": 128}, slice(256, 320), slice(0, 64)),
        ({"cu_seqlens": starts}, slice(128, 256), slice(128, 256)),
        ({"cu_seqlens": starts, "cu_seqlens_k": others}, slice(128, 256), slice(64, 192)),
        (
            {"cu_seqlens": starts, "cu_seqlens_k": late, "is_causal": True},
            slice(0),
            slice(128, 192),
        ),
    ]
    for options, queries, keys in cases:
        query, key, value, grad = make_inputs(1, 1, 1, 320, 320, 8, 8, dtype)
        query[:, :, queries] = grad[:, :, queries] = math.nan
        key[:, :, keys] = value[:, :, keys] = math.nan
        (*tensors, grad), options = on(device, [query, key, value, grad], options)
        found = with_gradients(ops.attention, tensors, grad, **options)
        is_read = torch.ones(2, 320, dtype=torch.bool)
        if "cu_seqlens" in options:  # the document of NaN
            is_read[0, queries] = is_read[1, keys] = False
        for x, side in zip(found, (0, 0, 1, 1), strict=True):
            assert x[:, :, is_read[side]].isfinite().all(), options


def check_blocks_hidden_by_a_mask(dtype: torch.dtype, device="cpu") -> None:
    """Blocks of 64 queries and 64 keys that a mask hides are not read, forward and back.

    NaN there changes nothing; blocks that show a key to one head, or to few queries, are read.
    """
    for queries, blind in ((256, slice(128, 256)), (3, slice(0, 0))):
        seen = torch.ones(4, queries, 320, dtype=torch.bool)
        seen[:, :, 64:128] = seen[:, :, 192:256] = False
        seen[:, blind] = False
        tensors = make_inputs(1, 4, 2, queries, 320, 8, 8, dtype)
        for x, hidden in zip(tensors, (blind, None, None, blind), strict=True):
            for part in (slice(64, 128), slice(192, 256)) if hidden is None else (hidden,):
                x[:, :, part] = math.nan
        by_head = seen.clone()
        by_head[0, :, 128:192] = False  # of two heads that share a key head
        by_head[:, : min(64, queries - 1), 256:] = by_head[:, : min(40, queries - 1), :64] = False
        for shown in (seen[:1], by_head):
            for mask in (shown, torch.zeros(shown.shape).masked_fill(~shown, -math.inf)):
                (*inputs, grad), options = on(device, tensors, {"attn_mask": mask})
                options["enable_gqa"] = True
                found = with_gradients(ops.attention, inputs, grad, **options)
                *inputs, grad = (x.nan_to_num(0.0) for x in (*inputs, grad))
                with ops.use_backend("reference"):
                    true = with_gradients(ops.attention, inputs, grad, **options)
                torch.testing.assert_close(found, true, rtol=0.02, atol=0.05)
                assert all(x[:, :, blind].eq(0).all() for x in found[:2])


def check_empty(device="cpu") -> None:
    """No queries, no keys, no batch: the operators give 0 where there is something."""
    options = (None, None, None, None, 0.0, 1.0, None, None, None, 0)
    for batch, queries, keys in ((1, 0, 5), (1, 5, 0), (1, 0, 0), (0, 3, 3)):
        inputs, _ = on(device, make_inputs(batch, 2, 2, queries, keys, 4, 4), {})
        query, key, value, grad = inputs
        out, lse = kernels.forward(query, key, value, None, *options)
        found = kernels.backward(grad, query, key, value, out, lse, False, False, *options)
        assert all(x.eq(0).all() for x in (out, *found[:3]))
        assert [x.shape for x in found[:3]] == [query.shape, key.shape, value.shape]
        assert lse.eq(-math.inf).all()
