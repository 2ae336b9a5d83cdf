"""Attention's kernel for Hopper GPUs, run by the emulation of ``csrc/emulation``."""

import pytest
import torch

from dlplug import ops
from dlplug.bench import attention_peers
from dlplug.bench.attention_problem import Problem, inputs, reference
from dlplug.bench.row import LeftOut
from dlplug.errors import BackendError
from dlplug.ops import _attention_choice as choice
from dlplug.ops import _attention_kernels as kernels
from tests.gpu_check import small_calls
from tests.ops import attention_hopper_exactness as exactness
from tests.ops.attention_cases import make_inputs
from tests.ops.emulation import emulated, needs_emulation

pytestmark = needs_emulation
each_dtype = pytest.mark.parametrize("dtype", choice.HALF, ids=["bfloat16", "float16"])


@pytest.fixture(autouse=True)
def hopper_kernel(monkeypatch):
    """On tensors of the CPU; a call that it does not take is an error."""
    monkeypatch.setattr(choice, "forced", "hopper")
    with emulated():
        yield


@each_dtype
@pytest.mark.parametrize("is_causal", [False, True], ids=["whole", "causal"])
@pytest.mark.parametrize("shape", exactness.SHAPES, ids=str)
def test_as_good_as_torch(shape, dtype, is_causal):
    """Outputs and gradients: at most twice PyTorch's own error; lse that of float64."""
    exactness.check_shape(shape, dtype, is_causal)


@each_dtype
@pytest.mark.parametrize("width", choice.HOPPER_WIDTHS)
@pytest.mark.parametrize("name", exactness.EXTRAS)
def test_extras_round_at_most_twice_as_much(name, width, dtype):
    """Each extra, and all together."""
    exactness.check_extra(name, dtype, width)


@each_dtype
@pytest.mark.parametrize("check", exactness.CHECKS, ids=lambda check: check.__name__)
def test_what_the_other_kernels_hold(check, dtype):
    """Blind rows, hidden tiles, huge scores, NaN, any strides and addresses."""
    check(dtype)


@each_dtype
def test_the_order_of_threads_and_copies_changes_no_bit(dtype):
    """Forwards, backwards or at random: nothing is read before it is written."""
    for width in choice.HOPPER_WIDTHS:
        query, key, value, _ = make_inputs(1, 2, 1, 150, 600, width, width, dtype)
        options = {"is_causal": True, "query_offset": 430, "softcap": 3.0, "enable_gqa": True}
        results = []
        for order in (0, 1, 7):
            with emulated(order):
                results.append(ops.attention(query, key, value, **options))
        assert all(torch.equal(results[0], other) for other in results[1:]), width


def test_it_is_told_and_runs(monkeypatch):
    """`explain` names it, and it is this operator that a call runs."""
    calls = []
    before = kernels.hopper_forward.op
    monkeypatch.setattr(
        kernels.hopper_forward, "op", lambda *args: calls.append(1) or before(*args)
    )
    query, key, value, _ = make_inputs(1, 2, 2, 3, 4, 64, 64, torch.bfloat16)
    assert ops.explain(ops.attention, query, key, value).backend == "hopper"
    ops.attention(query, key, value)
    assert calls == [1]


REFUSED = {
    "float32": (torch.float32, 64, 64, {}),
    "head dimensions 64 and 128": (torch.bfloat16, 64, 128, {}),
    "head dimensions 96 and 96": (torch.float16, 96, 96, {}),
    "no attn_mask": (torch.float16, 64, 64, {"attn_mask": torch.ones(3, 4, dtype=torch.bool)}),
    "alibi_slopes": (torch.float16, 64, 64, {"alibi_slopes": torch.ones(2)}),
    "or dropout": (torch.float16, 64, 64, {"dropout_p": 0.1}),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_call_that_it_cannot_take_is_an_error(why):
    """No other kernel takes it silently."""
    dtype, width, value_width, options = REFUSED[why]
    query, key, value, _ = make_inputs(1, 2, 2, 3, 4, width, value_width, dtype)
    with pytest.raises(BackendError, match=why):
        ops.attention(query, key, value, **options)


def test_the_calls_of_the_gpu_check_and_of_the_bench():
    """By the lines that a GPU will run, with every feature, forward and backward."""
    assert small_calls.hopper_attentions("cpu") == 12
    problem = Problem("causal", 1, 4, 2, 140, 140, 64, torch.bfloat16, is_causal=True)
    made = inputs(problem)
    found = attention_peers.hopper(made, 0.0)(made.q, made.k, made.v)
    (expected,) = reference(made)
    torch.testing.assert_close(found[0, :2].double(), expected, rtol=0.02, atol=0.02)
    with pytest.raises(LeftOut, match="no attn_mask, alibi_slopes or dropout"):
        attention_peers.hopper(made, 0.1)


def test_no_queries_or_no_keys():
    """The operator itself: ``attention`` computes these in plain PyTorch."""
    options = (None, None, None, None, 0.0, 1.0, None, None, None, 0)
    for queries, keys in ((0, 5), (5, 0)):
        query, key, value, _ = make_inputs(1, 2, 2, queries, keys, 64, 64, torch.float16)
        out, lse = kernels.hopper_forward(query, key, value, None, *options)
        assert out.shape == query.shape and out.eq(0).all() and lse.eq(-torch.inf).all()
