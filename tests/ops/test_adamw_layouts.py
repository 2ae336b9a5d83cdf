"""AdamW steps of lists of any dtypes, shapes and strides."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlplug import ops
from tests.ops.adamw_cases import (
    DTYPES,
    OPTIONS,
    assert_same_bits,
    assert_within_twice,
    copy_of,
    in_memory_order,
    make_lists,
    run_fused_torch,
    run_reference,
)

pytestmark = pytest.mark.usefixtures("cpu_kernels", "one_thread")


def test_several_dtypes_in_one_call():
    """Rows of different dtypes give what they give alone."""
    parts = [make_lists([(37,), (5, 3)], dtype, step=4, seed=i) for i, dtype in enumerate(DTYPES)]
    mixed = [list(itertools.chain(*kinds)) for kinds in zip(*map(copy_of, parts), strict=True)]
    ops.adamw_(*mixed, **OPTIONS)
    for part in parts:
        ops.adamw_(*part, **OPTIONS)
    alone = [list(itertools.chain(*kinds)) for kinds in zip(*parts, strict=True)]
    assert_same_bits(mixed, alone)


def test_rows_of_different_age():
    """Each row has its own bias correction; rows that share a counter count it in turn."""
    found = make_lists([(9,), (9,), (9,)], step=1)
    shared = torch.tensor(4.0)
    found[5] = [torch.tensor(0.0), shared, shared]
    expected = copy_of(found)
    expected[5] = [torch.tensor(0.0), *[torch.tensor(4.0)] * 2]
    ops.adamw_(*found, **OPTIONS)
    expected[5][2] = expected[5][1]
    run_reference(expected, **OPTIONS)
    for a, b in zip(found[0], expected[0], strict=True):
        torch.testing.assert_close(a, b)
    assert shared.item() == 6


@pytest.mark.parametrize("order", [(0, 2, 3, 1), (3, 2, 1, 0), (1, 0, 2, 3)])
def test_parameters_in_any_order_of_axes(order):
    """Channels-last and transposed parameters are taken as they lie, with any gradient."""
    found = make_lists([(2, 3, 4, 5)], step=1, amsgrad=True)
    expected = copy_of(found)
    for kind in (0, 2, 3, 4):
        found[kind] = [in_memory_order(tensor, order) for tensor in found[kind]]
    for grad in (found[1][0], in_memory_order(found[1][0], order)):
        found[1] = [grad]
        ops.adamw_(*found, **OPTIONS)
        ops.adamw_(*expected, **OPTIONS)
        assert_same_bits(found, expected)


@pytest.mark.parametrize(
    "grad",
    [
        torch.randn(4, 6).T,
        torch.tensor(0.25).expand(6, 4),
        torch.randn(12, 8)[::2, ::2],
        torch.randn(6, 4, dtype=torch.complex64).conj().imag,
        torch._neg_view(torch.randn(6, 4)),
    ],
    ids=["transposed", "expanded", "strided", "negated", "negated in place"],
)
def test_gradients_with_any_strides(grad):
    """A gradient that lies otherwise than its parameter is read in the parameter's order."""
    found = make_lists([(6, 4)], step=1)
    expected = copy_of(found)
    found[1], expected[1] = [grad], [grad.contiguous().resolve_neg()]
    ops.adamw_(*found, **OPTIONS)
    ops.adamw_(*expected, **OPTIONS)
    assert_same_bits(found[:1], expected[:1])


def test_a_negated_scalar_gradient():
    """A view of complex numbers with one element looks contiguous, but is not yet negated."""
    found = make_lists([(1,)], step=1)
    expected = copy_of(found)
    found[1] = [torch.randn(1, dtype=torch.complex64).conj().imag]
    expected[1] = [found[1][0].resolve_neg()]
    ops.adamw_(*found, **OPTIONS)
    ops.adamw_(*expected, **OPTIONS)
    assert_same_bits(found[:1], expected[:1])


@given(data=st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_call(data):
    """Shapes, orders of axes, dtypes, flags and numbers at random, against the oracle."""
    dtype = data.draw(st.sampled_from(DTYPES))
    amsgrad, maximize = data.draw(st.booleans()), data.draw(st.booleans())
    shapes = data.draw(st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=1, max_size=4))
    options = dict(
        lr=data.draw(st.floats(0, 1)),
        beta1=data.draw(st.floats(0, 0.999)),
        beta2=data.draw(st.floats(0, 0.9999)),
        eps=data.draw(st.sampled_from([1e-8, 1e-4, 1.0])),
        weight_decay=data.draw(st.floats(0, 1)),
    )
    found = make_lists(shapes, dtype, amsgrad=amsgrad, step=data.draw(st.integers(0, 2000)))
    oracle, fused = copy_of(found, torch.float64), copy_of(found)
    for i, shape in enumerate(shapes):
        order = data.draw(st.permutations(range(len(shape))))
        for kind in (0, 2, 3, 4):
            if found[kind]:
                found[kind][i] = in_memory_order(found[kind][i], order)
        order = data.draw(st.permutations(range(len(shape))))
        found[1][i] = in_memory_order(found[1][i], order)
    with ops.use_isa(data.draw(st.sampled_from(ops.isas()))):
        ops.adamw_(*found, **options, maximize=maximize)
    run_reference(oracle, maximize, **options)
    run_fused_torch(fused, maximize, **options)
    assert_within_twice(found, oracle, fused)
