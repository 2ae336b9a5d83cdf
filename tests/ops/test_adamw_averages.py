"""Averages of the parameters within the AdamW op: what a lerp after the update gives."""

import pytest
import torch

from dlplug import ops
from dlplug.errors import BackendError, DtypeError, ShapeError
from dlplug.ops.fallback.adamw import move_averages
from tests.ops.adamw_cases import (
    DTYPES,
    OPTIONS,
    SIZES,
    assert_same_bits,
    averages_of,
    copy_of,
    each_isa,
    in_memory_order,
    make_lists,
)
from tests.ops.norm_properties import needs_kernels

pytestmark = pytest.mark.usefixtures("one_thread")
WEIGHTS = [1 - 0.999, 1 - 2 / 11, 0.5, 1.0]
each_weight = pytest.mark.parametrize("weight", WEIGHTS)
kernels = pytest.mark.usefixtures("cpu_kernels")


def separately(lists, averages, weight, **options):
    """The op without averages, then PyTorch's lerp."""
    ops.adamw_(*lists, **OPTIONS, **options)
    move_averages(averages, lists[0], weight)


def assert_averages(averages, expected, isa):
    """The same bits where the vector has a fused multiply-add; otherwise a rounding apart."""
    if isa == "scalar":
        torch.testing.assert_close(averages, expected, rtol=1e-6, atol=1e-6, equal_nan=True)
    else:
        assert_same_bits([averages], [expected])


@kernels
@each_isa
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("amsgrad", [False, True])
@each_weight
def test_every_size_has_the_bits_of_two_passes(isa, dtype, amsgrad, weight):
    """Sizes on both sides of every width; parameters and states as without averages."""
    found = make_lists([(), *SIZES], dtype, amsgrad=amsgrad, step=3)
    expected = copy_of(found)
    averages, others = averages_of(found), averages_of(found)
    with ops.use_isa(isa):
        for _ in range(2):
            ops.adamw_(*found, **OPTIONS, averages=averages, average_weight=weight)
            separately(expected, others, weight)
        if dtype is torch.bfloat16:
            # Averages lie in order, and so do then parameters; alone, they are taken by pairs.
            assert_same_bits(found[:1], expected[:1])
        else:
            assert_same_bits(found, expected)
    assert_averages(averages, others, isa)
    assert all(average.dtype is torch.float32 for average in averages)


@kernels
@each_isa
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [0, 1, 3])
def test_nothing_outside_an_average_is_touched(isa, dtype, offset):
    """Averages at any offset of a buffer: the numbers around them stay NaN."""
    margin = 64
    lists = make_lists(SIZES, dtype, step=1)
    averages, buffers = averages_of(lists), []
    expected, others = copy_of(lists), averages_of(lists)
    for i, average in enumerate(averages):
        buffer = torch.full((average.numel() + 2 * margin + offset,), torch.nan)
        averages[i] = buffer[margin + offset :][: average.numel()].copy_(average)
        buffers.append((buffer, margin + offset, average.numel()))
    with ops.use_isa(isa):
        ops.adamw_(*lists, **OPTIONS, averages=averages, average_weight=0.1)
        ops.adamw_(*expected, **OPTIONS, averages=others, average_weight=0.1)
    assert_same_bits([*lists, averages], [*expected, others])
    for buffer, start, size in buffers:
        assert buffer[:start].isnan().all() and buffer[start + size :].isnan().all()
        assert not buffer[start : start + size].isnan().any()


@kernels
@each_isa
@pytest.mark.parametrize("dtype", DTYPES)
def test_special_parameters_do_as_in_a_lerp(isa, dtype):
    """NaN and infinities of the parameter or of the average leave what PyTorch leaves."""
    values = torch.tensor([torch.nan, torch.inf, -torch.inf, 1e30, 0.0, -0.0, 1.0] * 5)
    for weight in WEIGHTS:
        lists = make_lists([values.shape] * 2, dtype)
        lists[0][0].copy_(values)
        lists[1] = [torch.zeros_like(grad) for grad in lists[1]]
        averages = [torch.ones(values.shape), values.clone()]
        expected, others = copy_of(lists), [average.clone() for average in averages]
        with ops.use_isa(isa):
            ops.adamw_(*lists, **OPTIONS, averages=averages, average_weight=weight)
            separately(expected, others, weight)
        assert_averages(averages, others, isa)


@kernels
@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_do_not_change_a_bit_of_an_average(dtype):
    """With work enough for all of them."""
    results = []
    for count in (1, 2, 3, 5):
        torch.set_num_threads(count)
        lists = make_lists([(100_001,), (7,), (333, 211), (0,), ()], dtype, step=2)
        averages = averages_of(lists)
        ops.adamw_(*lists, **OPTIONS, averages=averages, average_weight=0.01)
        results.append([*lists, averages])
    for result in results[1:]:
        assert_same_bits(result, results[0])


@kernels
@each_isa
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_average_over_1000_steps_is_as_exact_as_pytorchs(isa, dtype):
    """At most twice the error of a lerp in float32, against the same parameters in float64."""
    lists = make_lists([(33,)], dtype)
    averages, others = averages_of(lists), averages_of(lists)
    exact = [average.double() for average in averages]
    numbers = torch.Generator().manual_seed(1)
    with ops.use_isa(isa):
        for _ in range(1000):
            lists[1][0].copy_(torch.randn(33, generator=numbers))
            ops.adamw_(*lists, **OPTIONS, averages=averages, average_weight=0.01)
            move_averages(others, lists[0], 0.01)
            move_averages(exact, [lists[0][0].double()], 0.01)
    error, theirs = ((a[0].double() - exact[0]).abs().max() for a in (averages, others))
    assert error <= 2 * theirs + torch.finfo(torch.float32).eps * exact[0].abs().max()


@kernels
def test_other_strides_of_average_and_parameter_are_refused():
    """The kernel would pair the wrong elements; PyTorch's code does not."""
    lists = make_lists([(6, 5)])
    averages = [in_memory_order(averages_of(lists)[0], [1, 0])]
    expected, others = copy_of(lists), [averages[0].contiguous()]
    weights = {"averages": averages, "average_weight": 0.25}
    with ops.use_backend("cpu"), pytest.raises(BackendError, match="its average has other strides"):
        ops.adamw_(*lists, **OPTIONS, **weights)
    with ops.use_backend("auto"):
        ops.adamw_(*lists, **OPTIONS, **weights)
    separately(expected, others, 0.25)
    torch.testing.assert_close(averages, others)


@kernels
def test_an_average_that_shares_memory_is_refused():
    """Rows run in parallel: two would write it."""
    lists = make_lists([(6,), (6,)])
    averages = averages_of(lists)
    for shared in ([averages[0]] * 2, [averages[0], lists[2][0]]):
        with ops.use_backend("cpu"), pytest.raises(BackendError, match="shares memory"):
            ops.adamw_(*lists, **OPTIONS, averages=shared, average_weight=0.25)


@pytest.mark.parametrize("dtype", [*DTYPES, torch.float64])
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_every_backend_averages(dtype, backend):
    """Kernel, PyTorch's code and reference move averages alike, of float64 too."""
    found = make_lists([(5,), (2, 3)], dtype, step=1)
    expected, averages, others = copy_of(found), averages_of(found), averages_of(found)
    with ops.use_backend(backend):
        ops.adamw_(*found, **OPTIONS, averages=averages, average_weight=0.25)
    with ops.use_backend("reference"):
        separately(expected, others, 0.25)
    assert averages[0].dtype is (torch.float64 if dtype is torch.float64 else torch.float32)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(averages, others, rtol=4 * eps, atol=4 * eps)


def test_wrong_averages_are_refused():
    """By the same message on every backend."""
    lists = make_lists([(4,)], torch.bfloat16)
    for averages, error, words in (
        ([torch.ones(4)] * 2, ShapeError, "1 params, but 2 averages"),
        ([torch.ones(5)], ShapeError, r"averages\[0\] has shape \(5,\), its parameter \(4,\)"),
        ([torch.ones(4).bfloat16()], DtypeError, "is torch.bfloat16, of a torch.bfloat16 param"),
    ):
        with pytest.raises(error, match=words):
            ops.adamw_(*lists, **OPTIONS, averages=averages, average_weight=0.1)


@needs_kernels
def test_the_kernel_takes_it():
    """`explain` names the backend of a call with averages."""
    lists = make_lists([(4,)])
    options = {**OPTIONS, "averages": averages_of(lists), "average_weight": 0.1}
    assert ops.explain(ops.adamw_, *lists, **options).backend == "cpu"
