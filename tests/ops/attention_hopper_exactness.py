"""What attention's kernel for Hopper GPUs must hold, on such a GPU or in the emulation."""

import math
import random

import torch

from dlplug import ops
from dlplug.ops import _attention_kernels as kernels
from tests.ops import attention_exactness as exactness
from tests.ops.attention_cases import assert_within_twice, make_inputs, with_gradients

# Batch, heads, key heads, queries, keys, D, E: around the tiles of 128 and the consumers' 64 rows,
# one tile, two and more than there are places for.
SHAPES = [
    (1, 1, 1, 1, 1, 64, 64),
    (2, 3, 3, 5, 7, 64, 64),
    (1, 4, 2, 65, 129, 64, 64),
    (1, 1, 1, 130, 127, 64, 64),
    (1, 1, 1, 20, 700, 64, 64),
    (1, 1, 1, 1, 1, 128, 128),
    (2, 2, 1, 64, 128, 128, 128),
    (1, 1, 1, 129, 300, 128, 128),
    (1, 1, 1, 300, 40, 128, 128),
]
_TERMS = ("softcap", "scale", "negative scale", "zero scale", "sinks")
EXTRAS = {
    **exactness.POSITIONS,
    **{name: exactness.TERMS[name] for name in _TERMS},
    "documents": {"cu_seqlens": torch.tensor([0, 1, 64, 64, 200, 300], dtype=torch.int32)},
    "causal documents": {
        "cu_seqlens": torch.tensor([0, 130, 131, 300], dtype=torch.int32),
        "is_causal": True,
        "window": 90,
    },
    "documents apart": {
        "cu_seqlens": torch.tensor([0, 70, 70, 131, 300], dtype=torch.int32),
        "cu_seqlens_k": torch.tensor([0, 140, 150, 150, 300], dtype=torch.int32),
        "window": (90, 20),
    },
    "all": {
        "softcap": 2.0,
        "sinks": torch.tensor([0.5, 3.0]),
        "is_causal": True,
        "window": 140,
        "query_offset": 60,
    },
}


def check_shape(shape, dtype: torch.dtype, is_causal: bool, device="cpu") -> None:
    """At most twice the error of the formula in that dtype, and lse of the scores in float64."""
    exactness.check_shape(shape, dtype, is_causal, device)
    query, key, value, _ = (x.to(device) for x in make_inputs(*shape, dtype))
    options = (None, None, None, None, 0.0, 0.2, None, None, 0 if is_causal else None, 0)
    _, lse = kernels.hopper_forward(query, key, value, None, *options)
    keys = key.double().repeat_interleave(shape[1] // shape[2], 1)
    scores = 0.2 * query.double() @ keys.mT
    if is_causal:
        hidden = torch.ones(scores.shape[-2:], device=device).triu(1).bool()
        scores = scores.masked_fill(hidden, -math.inf)
    # Scores of up to 20 in float32, and as many roundings of the sum as a thread has terms.
    torch.testing.assert_close(lse, scores.logsumexp(-1), rtol=0, atol=2e-5)


def check_extra(name: str, dtype: torch.dtype, width: int, device="cpu") -> None:
    """An extra, over several tiles of queries and keys; peer: the reference in that dtype."""
    options = EXTRAS[name]
    sizes = (300, 300) if "cu_seqlens" in options else (140, 270)
    inputs = make_inputs(1, 2, 1, *sizes, width, width, dtype)
    found, peer, true = exactness.found_and_reference(inputs, device, **options)
    assert_within_twice(found, true, peer, 16.0, [16.0])


def check_random(number: int, dtype: torch.dtype, device="cpu", largest=200) -> None:
    """A product of features drawn at random."""
    dice = random.Random(number)
    heads, groups = dice.choice([(1, 1), (2, 1), (2, 2), (3, 1)])
    sizes = (1, dice.randint(1, largest), dice.randint(1, largest))
    sizes, options = exactness.draw_positions(dice, *sizes)
    width = dice.choice([64, 128])
    extras = {
        "softcap": dice.uniform(0.5, 20.0),
        "scale": dice.uniform(-1.5, 1.5) / math.sqrt(width),
        "sinks": torch.tensor([dice.uniform(-3, 3) for _ in range(heads)]),
    }
    options |= {name: x for name, x in extras.items() if dice.random() < 0.5}
    batch, queries, keys = sizes
    inputs = make_inputs(batch, heads, groups, queries, keys, width, width, dtype)
    found, peer, true = exactness.found_and_reference(inputs, device, **options)
    assert_within_twice(found, true, peer, 32.0, [32.0])


def check_shared_heads(dtype: torch.dtype, device="cpu") -> None:
    """Gradients of keys sum over all heads that share them, of both batches, tile by tile."""
    inputs = make_inputs(2, 6, 2, 70, 20, 64, 64, dtype)
    found, peer, true = exactness.found_and_reference(inputs, device, is_causal=True)
    assert_within_twice(found, true, peer, 16.0)


def check_hidden_gradients(dtype: torch.dtype, device="cpu") -> None:
    """NaN in keys that nobody sees, or in queries that see none, changes no bit of the others'."""
    for options, dead_queries, dead_keys in (
        ({"is_causal": True, "query_offset": -128}, slice(0, 128), slice(128, 200)),
        ({"window": (0, 0), "query_offset": 128}, slice(128, 200), slice(0, 128)),
    ):
        inputs = make_inputs(1, 1, 1, 200, 200, 64, 64, dtype)
        results = []
        for value in (0.0, math.nan):
            query, key, values, grad = (x.clone() for x in inputs)
            query[:, :, dead_queries] = grad[:, :, dead_queries] = value
            key[:, :, dead_keys] = values[:, :, dead_keys] = value
            tensors = [x.to(device) for x in (query, key, values, grad)]
            results.append(with_gradients(ops.attention, tensors[:3], tensors[3], **options))
        assert all(x.isfinite().all() for x in results[1])
        assert all(map(torch.equal, *results))
        assert all(x.ne(0).any() for x in results[1])


def check_gradients_of_large_scores(dtype: torch.dtype, device="cpu") -> None:
    """Scores of 3e6, to which a float32 cannot add the log of their number, share equally."""
    query, key, value, grad = (x.to(device) for x in make_inputs(1, 1, 1, 20, 80, 64, 64, dtype))
    tensors = (torch.full_like(query, 300.0), torch.full_like(key, 300.0), value)
    *_, grad_value = with_gradients(ops.attention, tensors, grad)
    mean = grad.sum(2, True) / 80
    torch.testing.assert_close(grad_value, mean.expand_as(grad_value), rtol=0.01, atol=0.002)


def check_layouts_of_gradients(dtype: torch.dtype, device="cpu") -> None:
    """Of any strides, those of the gradient also of steps of 0: the contiguous result's bits."""
    *tensors, grad = (x.to(device) for x in make_inputs(1, 2, 2, 19, 37, 64, 64, dtype))
    expected = with_gradients(ops.attention, tensors, grad)
    inside = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in (*tensors, grad)]
    odd_rows = [torch.cat([x, x[..., :1]], -1)[..., :-1] for x in tensors]
    for layout in (inside[:3], odd_rows):
        leaves = [x.detach().requires_grad_() for x in layout]
        out = ops.attention(*leaves)
        found = [out, *torch.autograd.grad(out, leaves, grad)]
        assert all(map(torch.equal, found, expected))
    misaligned = torch.cat([grad.flatten()[:1], grad.flatten()])[1:].view(grad.shape)
    for other in (inside[3], misaligned, grad.mT.contiguous().mT):
        assert all(map(torch.equal, with_gradients(ops.attention, tensors, other), expected))
    one = grad[:, :, :1, :1]
    broadcast = with_gradients(ops.attention, tensors, one.expand_as(grad))
    repeated = with_gradients(ops.attention, tensors, one.expand_as(grad).contiguous())
    assert all(map(torch.equal, broadcast, repeated))


def check_blind_rows(dtype: torch.dtype, device="cpu") -> None:
    """Queries that see nothing give 0 and gradient 0: whole tiles of them, and some within one."""
    for offset in (-3, -140, 400):
        inputs = make_inputs(1, 2, 2, 150, 80, 64, 64, dtype)
        found, _, _ = exactness.found_and_reference(
            inputs, device, is_causal=True, window=2, query_offset=offset
        )
        position = torch.arange(150, device=device) + offset
        is_blind = (position < 0) | (position - 1 > 79)
        assert is_blind.any()
        for x in found[:2]:
            assert x[:, :, is_blind].eq(0).all() and x.isfinite().all()
            assert x[:, :, ~is_blind].ne(0).any() or is_blind.all()


def check_hidden_tiles(dtype: torch.dtype, device="cpu") -> None:
    """Keys and values of NaN far from what anyone sees are not read."""
    for options, queries, keys in (
        ({"is_causal": True}, 100, slice(128, 300)),
        ({"window": (10, 10), "query_offset": 290}, 9, slice(0, 256)),
        ({"is_causal": True, "window": 20, "query_offset": 150}, 50, slice(0, 128)),
    ):
        query, key, value, _ = make_inputs(1, 1, 1, queries, 300, 64, 64, dtype)
        key[:, :, keys] = value[:, :, keys] = math.nan
        query, key, value = (x.to(device) for x in (query, key, value))
        assert ops.attention(query, key, value, **options).isfinite().all(), options


def check_large_scores(dtype: torch.dtype, device="cpu") -> None:
    """Scores of +-1e4, or 1e13 in bfloat16, pick the largest key."""
    for factor in (1e3, 1e3 if dtype == torch.float16 else 1e12):
        query, key, value, _ = make_inputs(1, 1, 1, 20, 300, 64, 64, dtype)
        query, key, value = (x.to(device) for x in (query * factor, key, value))
        largest = (query.double() @ key.double().mT).argmax(-1)[0, 0]
        found = ops.attention(query, key, value)
        assert found.isfinite().all()
        assert torch.equal(found[0, 0], value[0, 0, largest]) or factor < 1e4


def check_not_finite(dtype: torch.dtype, device="cpu") -> None:
    """NaN and infinity in a query, key or value: the same outputs are NaN as in torch."""
    for number in (math.nan, math.inf, -math.inf):
        for which in range(3):
            tensors = make_inputs(1, 1, 1, 20, 140, 64, 64, dtype)[:3]
            tensors[which][0, 0, 3, 2] = number
            tensors = [x.to(device) for x in tensors]
            found = ops.attention(*tensors)
            q, k, v = (x.float() for x in tensors)
            expected = torch.softmax(q @ k.mT / 8, -1) @ v
            torch.testing.assert_close(
                found.float(), expected, equal_nan=True, rtol=0.02, atol=0.02
            )


def check_layouts(dtype: torch.dtype, device="cpu") -> None:
    """Slices, transposes, odd rows and addresses, steps of 0: the contiguous result's bits."""
    query, key, value, _ = (x.to(device) for x in make_inputs(2, 2, 2, 19, 137, 64, 64, dtype))
    expected = ops.attention(query, key, value)
    layouts = {
        "heads inside": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
        "odd rows": lambda x: torch.cat([x, x[..., :1]], -1)[..., :-1],
        "wide rows": lambda x: torch.cat([x, x], -1)[..., :64],
        "misaligned": lambda x: torch.cat([x.flatten()[:1], x.flatten()])[1:].view(x.shape),
        "every second": lambda x: x.repeat_interleave(2, -1)[..., ::2],
        "transposed": lambda x: x.mT.contiguous().mT,
    }
    for name, layout in layouts.items():
        found = ops.attention(layout(query), layout(key), layout(value))
        assert torch.equal(found, expected), name
    one = query[:, :, :1]
    odd = one.mT.contiguous().mT
    assert odd.stride() != one.contiguous().stride()  # an axis of one element steps by anything
    assert torch.equal(ops.attention(odd, key, value), expected[:, :, :1])
    shared = [x[:1, :1].expand(2, 2, -1, -1) for x in (key, value)]
    repeated = [x.contiguous() for x in shared]
    assert torch.equal(ops.attention(query, *shared), ops.attention(query, *repeated))


CHECKS = [
    check_blind_rows,
    check_hidden_tiles,
    check_large_scores,
    check_not_finite,
    check_layouts,
]
BACKWARD_CHECKS = [
    check_shared_heads,
    check_hidden_gradients,
    check_gradients_of_large_scores,
    check_layouts_of_gradients,
]
