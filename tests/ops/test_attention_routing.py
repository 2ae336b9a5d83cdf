"""Which backend a call of attention takes."""

import importlib
import math

import pytest
import torch
import torch.nn.functional as F

from dlplug import ops
from dlplug.errors import BackendError, OpError
from dlplug.ops.fallback import philox
from tests.ops.attention_cases import (
    DTYPES,
    draw,
    make_inputs,
    naive,
    oracle,
    with_gradients,
)


@pytest.mark.parametrize("mode", ["auto", "reference"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_gives_torchs_dtype(mode, dtype):
    """Plain and with extras; float64 stays; mixed inputs are cast to one dtype."""
    q, k, v, _ = make_inputs(1, 2, 2, 5, 5, 8, 8)
    with torch.autocast("cpu", dtype), ops.use_backend(mode):
        for inputs in (
            (q, k, v),
            (q, k.bfloat16(), v.half()),
            (q.double(), k.double(), v.double()),
        ):
            expected = F.scaled_dot_product_attention(*inputs)
            for options in ({}, {"softcap": 1e6}):
                found = ops.attention(*inputs, **options)
                assert found.dtype == expected.dtype
                torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)


def test_what_the_kernels_do_not_take_falls_back_and_is_right():
    """Masks of float64, float64, wide heads, broadcast batches, no keys."""
    q, k, v, _ = make_inputs(2, 2, 2, 5, 6, 8, 8)
    wide = make_inputs(1, 1, 1, 3, 3, 300, 300)[:3]
    mask = draw(5, 6) > -0.5
    bias = draw(2, 1, 5, 6).masked_fill(~mask, -math.inf)
    double = [x.double() for x in (q, k, v)]
    cases = [
        ((*double, mask), {}, "torch"),
        ((*double, mask), {"is_causal": True, "window": 3, "query_offset": 1}, "torch"),
        ((*double, bias), {"is_causal": True, "query_offset": 1}, "torch"),
        ((*double, bias), {"softcap": 2.0}, "reference"),
        ((*double, mask), {"sinks": draw(2)}, "reference"),
        (double, {"window": (2, 1)}, "torch"),
        (double, {"window": (None, 1)}, "torch"),
        ((*double, mask), {"is_causal": True}, "torch"),
        (double, {"dropout_p": 0.5}, "reference"),
        (wide, {}, "torch"),
        ((q, k[:1], v[:1]), {}, "torch"),
        ((q, k[:, :, :0], v[:, :, :0]), {}, "reference"),
    ]
    for inputs, options, backend in cases:
        explanation = ops.explain(ops.attention, *inputs, **options)
        assert explanation.backend == backend and explanation.refused["cpu"]
        torch.manual_seed(0)
        found = ops.attention(*inputs, **options)
        torch.manual_seed(0)
        seed = philox.draw_seed() if options.get("dropout_p") else None
        q_, *kv = (x.double() for x in inputs[:3])
        kv = [x.expand(q_.shape[0], -1, -1, -1) for x in kv]
        true = naive(q_, *kv, *inputs[3:], seed=seed, **options)
        torch.testing.assert_close(found.double(), true, rtol=1e-5, atol=1e-5)


def test_the_backend_asked_for_refuses_with_its_reason(cpu_kernels):
    """`cpu` never falls back; the message names the reason."""
    q, k, v, _ = make_inputs(1, 2, 2, 5, 6, 8, 8)
    deep = [x.expand(2, 3, *x.shape) for x in (q, k, v)]
    with pytest.raises(BackendError, match="attn_mask is broadcast over some of several"):
        ops.attention(*deep, torch.ones(2, 1, 1, 1, 5, 6, dtype=torch.bool))
    with pytest.raises(BackendError, match="float64 is not float32"):
        ops.attention(q.double(), k.double(), v.double())
    with pytest.raises(BackendError, match="head dimensions 300 and 8"):
        ops.attention(*make_inputs(1, 2, 2, 5, 6, 300, 8)[:3])


def test_calls_that_torch_does_faster_go_there():
    """Small calls; never with extras, and not when `cpu` is asked for."""
    if not ops.isas():
        pytest.skip("no compiled CPU kernels here")
    small, large = make_inputs(1, 1, 1, 8, 8, 16, 16)[:3], make_inputs(1, 4, 4, 50, 50, 32, 32)[:3]
    one = make_inputs(8, 8, 8, 1, 500, 32, 32)[:3]

    def backend(inputs, **options):
        explanation = ops.explain(ops.attention, *inputs, **options)
        return explanation.backend, explanation.refused.get("cpu", "")

    assert backend(small) == (
        "torch",
        "1024 multiply-adds for the scores take less time than the call",
    )
    assert backend(one) == ("cpu", "")
    mask = torch.ones(50, 50, dtype=torch.bool)
    assert backend(large, attn_mask=mask)[0] == "torch"
    assert backend([x.bfloat16() for x in large], attn_mask=mask) == ("cpu", "")
    assert backend(large, attn_mask=mask, window=(3, 3)) == ("cpu", "")
    assert backend(large) == ("cpu", "")
    assert backend(one, window=(3, 3)) == ("cpu", "")
    assert backend([x.bfloat16() for x in one]) == ("cpu", "")
    assert backend(small, sinks=torch.zeros(1)) == ("cpu", "")
    with ops.use_backend("cpu"):
        assert backend(small) == ("cpu", "")
    with ops.use_backend("reference"):
        assert backend(small)[0] == "reference"


def test_what_goes_to_torch_at_a_glance_is_what_explain_says():
    """Whatever the arguments, few multiply-adds are routed as the long way would."""
    if not ops.isas():
        pytest.skip("no compiled CPU kernels here")
    q, k, v, _ = make_inputs(1, 2, 2, 8, 9, 16, 16)
    is_left = importlib.import_module("dlplug.ops.attention")._is_left_to_torch
    for inputs in (
        (q, k, v),
        (q, q, q),
        (q[0], k[0], v[0]),
        (q[0, 0], k[0, 0], v[0, 0]),
        (q, k, v[..., :3]),
        (q.bfloat16(), k.bfloat16(), v.bfloat16()),
        (q.double(), k.double(), v.double()),
        (q.repeat(9, 9, 9, 1), k.repeat(9, 9, 9, 1), v.repeat(9, 9, 9, 1)),
    ):
        if is_left(*inputs):
            assert ops.explain(ops.attention, *inputs).backend == "torch"
            expected = F.scaled_dot_product_attention(*inputs, is_causal=True, scale=0.5)
            assert ops.attention(*inputs, is_causal=True, scale=0.5).equal(expected)
    assert is_left(q, k, v) and is_left(q[0], k[0], v[0])
    for mode in ("cpu", "reference"):
        with ops.use_backend(mode):
            assert not is_left(q, k, v)
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_left(q, k, v)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_worth_a_kernel_is_not_left_to_torch(cpu_kernels, dtype):
    """From 197 tokens with heads of 64 on, one head, plain and with a mask."""
    tensors = make_inputs(1, 1, 1, 197, 197, 64, 64, dtype)[:3]
    for options in ({}, {"is_causal": True}, {"attn_mask": torch.ones(197, 197).bool()}):
        assert ops.explain(ops.attention, *tensors, **options).backend == "cpu", options


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")  # "in prototype stage"
def test_plain_calls_of_nested_tensors_are_torchs(monkeypatch):
    """Sequences of unequal lengths; with more than torch's op knows they are one error."""
    parts = [draw(5, 2, 8), draw(3, 2, 8)]
    nested = torch.nested.nested_tensor(parts, layout=torch.jagged).transpose(1, 2)
    found = ops.attention(nested, nested, nested)
    for part, mine in zip(parts, found.transpose(1, 2).unbind(), strict=True):
        heads = part.transpose(0, 1)
        expected = F.scaled_dot_product_attention(heads, heads, heads)
        torch.testing.assert_close(mine.transpose(0, 1), expected)
    for options in ({"softcap": 2.0}, {"is_causal": True}):  # the latter it takes on a GPU
        with pytest.raises(OpError, match="cu_seqlens"):
            ops.attention(nested, nested, nested, **options)
    with monkeypatch.context() as patched:
        asked = {}
        patched.setattr(F, "scaled_dot_product_attention", lambda *_, **given: asked.update(given))
        ops.attention(nested, nested, nested, enable_gqa=True)
    assert asked["enable_gqa"]


@pytest.mark.parametrize("mode", ["auto", "cpu", "reference"])
def test_a_scale_of_0_weighs_all_that_is_seen_alike(mode):
    """On every backend; PyTorch's own op gives NaN for what a causal mask hides."""
    query, key, value = (torch.randn(1, 2, 5, 8, requires_grad=True) for _ in range(3))
    with ops.use_backend(mode):
        out = ops.attention(query, key, value, is_causal=True, scale=0.0)
        out.sum().backward()
    counts = torch.arange(1, 6)[:, None]
    torch.testing.assert_close(out, value.cumsum(-2) / counts)
    assert query.grad.count_nonzero() == 0 and key.grad.count_nonzero() == 0


@pytest.mark.parametrize("mode", ["auto", "cpu", "reference"])
@pytest.mark.parametrize("size", [1, 30])
@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"attn_mask": True}], ids=str)
def test_a_negative_scale_picks_the_least_product(mode, size, options):
    """On every backend; PyTorch's own op gives NaN for what a causal mask hides."""
    *tensors, grad = make_inputs(1, 2, 2, 6, 6, 8, 8)
    tensors[0] = tensors[0] * size
    if "attn_mask" in options:
        options = {"attn_mask": draw(6, 6).abs() < 1.5}
    true = oracle(tensors, grad, scale=-0.7, **options)
    with ops.use_backend(mode):
        found = with_gradients(ops.attention, tensors, grad, scale=-0.7, **options)
    for mine, exact in zip(found, true, strict=True):
        torch.testing.assert_close(mine.double(), exact, rtol=1e-4, atol=1e-4)
