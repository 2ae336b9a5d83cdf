"""The backward pass of attention's kernels for Hopper GPUs, run by the emulation.

Every call of test_cuda_attention_hopper.py has gradients, too: these are what is theirs alone.
"""

import pytest
import torch

from dlplug import ops
from dlplug.ops import _attention_choice as choice
from dlplug.ops import _attention_kernels as kernels
from tests.ops import attention_hopper_exactness as exactness
from tests.ops.attention_cases import make_inputs, with_gradients
from tests.ops.emulation import emulated, launches, needs_emulation

pytestmark = needs_emulation
each_dtype = pytest.mark.parametrize("dtype", choice.HALF, ids=["bfloat16", "float16"])


@pytest.fixture(autouse=True)
def hopper_kernel(monkeypatch):
    """On tensors of the CPU; a call that it does not take is an error."""
    monkeypatch.setattr(choice, "forced", "hopper")
    with emulated():
        yield


@each_dtype
@pytest.mark.parametrize("number", range(6))
def test_random_products_of_features(number, dtype):
    """Any number of them together."""
    exactness.check_random(number + 6 * (dtype == torch.float16), dtype)


@each_dtype
@pytest.mark.parametrize("check", exactness.BACKWARD_CHECKS, ids=lambda check: check.__name__)
def test_what_the_other_kernels_hold(check, dtype):
    """Shared heads, hidden tiles, huge scores, any strides."""
    check(dtype)


@pytest.mark.parametrize("width", choice.HOPPER_WIDTHS)
def test_the_order_of_threads_and_copies_changes_no_bit(width):
    """Forwards, backwards or at random: nothing is read before it is written, no sum is a race."""
    *tensors, grad = make_inputs(1, 2, 1, 130, 140, width, width, torch.bfloat16)
    results = []
    for order in (0, 1, 7):
        with emulated(order):
            options = {"is_causal": True, "query_offset": 40, "softcap": 3.0, "enable_gqa": True}
            results.append(with_gradients(ops.attention, tensors, grad, **options))
    assert all(all(map(torch.equal, results[0], other)) for other in results[1:])


def test_a_backward_pass_is_its_own_three_launches(monkeypatch):
    """Statistics, the queries' gradient, the keys' and values'; the others' is not called."""
    calls = []
    before = kernels.hopper_backward.op
    monkeypatch.setattr(
        kernels.hopper_backward, "op", lambda *args: calls.append(1) or before(*args)
    )
    tensors = [x.requires_grad_() for x in make_inputs(1, 1, 1, 3, 4, 64, 64, torch.float16)[:3]]
    out = ops.attention(*tensors)
    with launches() as count:
        out.backward(torch.ones_like(out))
    assert calls == [1] and count == [3]


def test_it_is_taken_where_it_was_measured_to_be_the_fastest(monkeypatch):
    """Also with features; what it cannot take goes to the other kernels."""
    monkeypatch.setattr(choice, "forced", None)
    monkeypatch.setattr(choice, "_capability", lambda _: 9)
    monkeypatch.setitem(choice.FASTEST, (9, torch.float16), "hopper")
    for width, options, dtype, backend in (
        (64, {}, torch.float16, "hopper"),
        (64, {"softcap": 2.0}, torch.float16, "hopper"),
        (64, {}, torch.bfloat16, "cpu"),
        (96, {}, torch.float16, "cpu"),
        (64, {"dropout_p": 0.1}, torch.float16, "cpu"),
    ):
        query, key, value, _ = make_inputs(1, 1, 1, 3, 4, width, width, dtype)
        assert ops.explain(ops.attention, query, key, value, **options).backend == backend
        calls = []
        before = kernels.hopper_forward.op
        with monkeypatch.context() as patch:
            patch.setattr(
                kernels.hopper_forward,
                "op",
                lambda *args, run=before, calls=calls: calls.append(1) or run(*args),
            )
            ops.attention(query, key, value, **options)
        assert len(calls) == (backend == "hopper")


def test_no_queries_or_no_keys():
    """The operator itself: ``attention`` computes these in plain PyTorch."""
    options = (None, None, None, None, 0.0, 1.0, None, None, None, 0)
    for queries, keys in ((0, 5), (5, 0)):
        query, key, value, grad = make_inputs(1, 2, 2, queries, keys, 64, 64, torch.float16)
        out, lse = kernels.hopper_forward(query, key, value, None, *options)
        given = (grad, query, key, value, out, lse, False, False)
        for found, like in zip(
            kernels.hopper_backward(*given, *options), (query, key, value), strict=False
        ):
            assert found.shape == like.shape and found.eq(0).all()


def test_no_two_outputs_are_one_tensor():
    """As the operator's schema says, of the gradients that there are none of, too."""
    options = (None, None, None, None, 0.0, 1.0, None, None, None, 0)
    query, key, value, grad = make_inputs(1, 1, 1, 5, 6, 64, 64, torch.float16)
    out, lse = kernels.hopper_forward(query, key, value, None, *options)
    found = kernels.hopper_backward(grad, query, key, value, out, lse, False, False, *options)
    assert len({x.untyped_storage()._cdata for x in found}) == 5
