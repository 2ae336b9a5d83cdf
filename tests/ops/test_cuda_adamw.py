"""The CUDA kernel of AdamW, run by the emulation of ``csrc/emulation``."""

import pytest
import torch

from dlplug import ops
from dlplug.ops._adamw_device import DeviceRows
from dlplug.ops._device_step import CHUNK
from tests.ops.adamw_cases import (
    DTYPES,
    OPTIONS,
    SIZES,
    assert_same_bits,
    assert_within_twice,
    averages_of,
    copy_of,
    make_lists,
    replaced,
    run_fused_torch,
    run_reference,
)
from tests.ops.emulation import emulated, needs_emulation, needs_fma

pytestmark = [needs_emulation, pytest.mark.usefixtures("one_thread")]
# The kernel's vectors have 4 or 8 elements; with more than one chunk, and a chunk's borders.
ALL_SIZES = [(), *SIZES, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5]
each_dtype = pytest.mark.parametrize("dtype", DTYPES)
each_steps = pytest.mark.parametrize("has_device_steps", [True, False])


def on_cpu(lists, **options):
    """The CPU's kernel, whose bits a GPU gives."""
    with ops.use_backend("cpu"), ops.use_isa("avx2"):
        ops.adamw_(*lists, **OPTIONS, **options)


def on_gpu(lists, order=0, has_device_steps=True, **options):
    with emulated(order, has_device_steps):
        ops.adamw_(*lists, **OPTIONS, **options)


@each_dtype
@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("maximize", [False, True])
def test_every_size_is_as_good_as_pytorch(dtype, amsgrad, maximize):
    """Empty tensors, scalars, both sides of every width and of a chunk, all in one call."""
    found = make_lists(ALL_SIZES, dtype, amsgrad=amsgrad, step=3)
    oracle, fused = copy_of(found, torch.float64), copy_of(found)
    on_gpu(found, maximize=maximize)
    run_reference(oracle, maximize, **OPTIONS)
    run_fused_torch(fused, maximize, **OPTIONS)
    assert_within_twice(found, oracle, fused)
    assert {step.item() for step in found[5]} == {4.0}


@needs_fma
@each_dtype
@each_steps
@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("weight", [0.001, 0.5, 1.0])
def test_it_has_the_cpu_s_bits(dtype, has_device_steps, amsgrad, weight):
    """Parameters, states and averages, over steps from the first on."""
    found = make_lists(ALL_SIZES, dtype, amsgrad=amsgrad)
    expected = copy_of(found)
    averages, others = averages_of(found), averages_of(found)
    for _ in range(3):
        on_gpu(found, 0, has_device_steps, averages=averages, average_weight=weight)
        on_cpu(expected, averages=others, average_weight=weight)
    assert_same_bits(found, expected)
    assert_same_bits([averages], [others])


@needs_fma
@each_dtype
@pytest.mark.parametrize("offset", [0, 1, 3, 8])
def test_nothing_outside_is_touched(dtype, offset):
    """Tensors that begin anywhere: neighbours keep their values, and the bits are the same."""
    margin = 64
    found = make_lists(ALL_SIZES[1:], dtype, amsgrad=True, step=1)
    expected, averages, others = copy_of(found), averages_of(found), averages_of(found)
    buffers = []
    for kind in (*found[:5], averages):
        for i, tensor in enumerate(kind):
            buffer = torch.full((tensor.numel() + 2 * margin + offset,), 7.0, dtype=tensor.dtype)
            kind[i] = buffer[margin + offset :][: tensor.numel()].copy_(tensor)
            buffers.append((buffer, margin + offset, tensor.numel()))
    on_gpu(found, averages=averages, average_weight=0.1)
    on_cpu(expected, averages=others, average_weight=0.1)
    assert_same_bits([*found, averages], [*expected, others])
    for buffer, start, size in buffers:
        assert (buffer[:start] == 7).all()
        assert (buffer[start + size :] == 7).all()


@needs_fma
def test_one_array_off_its_alignment():
    """Whichever it is: no vector is read from it."""
    for kind in range(6):
        lists = make_lists([(40,)], amsgrad=True)
        averages, expected = averages_of(lists), copy_of(lists)
        others = averages_of(lists)
        arrays = [*lists[:5], averages]
        arrays[kind][0] = torch.zeros(41)[1:].copy_(arrays[kind][0])
        on_gpu(lists, averages=averages, average_weight=0.5)
        on_cpu(expected, averages=others, average_weight=0.5)
        assert_same_bits([*lists, averages], [*expected, others])


@needs_fma
@each_steps
def test_rows_may_be_at_different_steps(has_device_steps):
    """As after some parameters had no gradient for a while; also if the first has no elements."""
    found = make_lists([(0,), (5,), (7,), (9000,)], step=2)
    for i, step in enumerate((11.0, 2.0, 5.0, 2.0)):
        found[5][i].fill_(step)
    expected = copy_of(found)
    for _ in range(2):
        on_gpu(found, 0, has_device_steps)
        on_cpu(expected)
    assert_same_bits(found, expected)
    assert [step.item() for step in found[5]] == [13.0, 4.0, 7.0, 4.0]


@each_steps
def test_empty_tensors_count_their_steps(has_device_steps):
    """Though there is nothing to update."""
    lists = make_lists([(0,), (3, 0)])
    on_gpu(lists, 0, has_device_steps)
    assert [step.item() for step in lists[5]] == [1.0, 1.0]


@needs_fma
def test_many_tensors():
    """More rows than a launch's arguments hold, and more than a block has threads."""
    found = make_lists([(i % 11,) for i in range(700)], step=1)
    expected = copy_of(found)
    on_gpu(found)
    on_cpu(expected)
    assert_same_bits(found, expected)


@needs_fma
@each_dtype
def test_special_numbers_and_denormals(dtype):
    """NaN, infinities, huge, tiny and denormal numbers in each place give the CPU's bits."""
    tiny = torch.finfo(dtype).tiny
    values = [float("nan"), float("inf"), -float("inf"), 3e38, -1e20, 0.0, -0.0, tiny, tiny / 8]
    values = torch.tensor([*values, -tiny / 3, 1e-41, 1.0], dtype=torch.float64)
    count = len(values)
    places = torch.cartesian_prod(*[torch.arange(count)] * 3)
    found = make_lists([(len(places),)], dtype, amsgrad=True, step=4)
    for kind, column in zip((1, 2, 3), places.T, strict=True):
        drawn = values[column].to(dtype)
        found[kind][0] = drawn.abs() if kind == 3 else drawn
    expected = copy_of(found)
    on_gpu(found)
    on_cpu(expected)
    assert_same_bits(found, expected)


@needs_fma
def test_a_rate_on_the_device():
    """A tensor there is read there."""
    found = make_lists(ALL_SIZES, step=3)
    expected = copy_of(found)
    rate = torch.tensor(0.02)
    with emulated():
        ops.adamw_(*found, **{**OPTIONS, "lr": rate})
    with ops.use_backend("cpu"), ops.use_isa("avx2"):
        ops.adamw_(*expected, **{**OPTIONS, "lr": rate.item()})
    assert_same_bits(found, expected)


def test_the_order_of_threads_changes_no_bit():
    """Forwards, backwards or at random; steps are counted once all blocks have read theirs."""
    results = []
    for order in (0, 1, 7, 8):
        results.append(make_lists([(CHUNK * 2 + 3,), (5,), (0,)], torch.bfloat16, step=2))
        on_gpu(results[-1], order)
        on_gpu(results[-1], order)
    for result in results[1:]:
        assert_same_bits(result, results[0])


def test_pytorchs_fused_kernel_is_given_no_rows_of_a_device():
    """It would read steps on the device, and these may lie on the CPU."""
    rows = DeviceRows(*make_lists([(3,)]))
    with emulated():
        assert rows.refusal() is None
    assert rows.lists_for_torch_fused() is None


@needs_fma
@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_compiled_call_is_one_op(dtype, amsgrad):
    """With the CPU's bits, over steps; a gradient may have other strides."""
    graphs = []

    def capture(module, _):
        graphs.append([str(node.target) for node in module.graph.nodes])
        return module

    @torch.compile(fullgraph=True, backend=capture)
    def step(*lists):
        *lists, averages = lists
        ops.adamw_(*lists, **OPTIONS, averages=averages, average_weight=0.25)

    found = make_lists([(5,), (30, 700), (0,), ()], dtype, amsgrad=amsgrad)
    found[1][1] = found[1][1].T.contiguous().T
    expected = copy_of(found)
    averages, others = averages_of(found), averages_of(found)
    for _ in range(2):
        with emulated():
            step(*found, averages)
        on_cpu(expected, averages=others, average_weight=0.25)
    assert_same_bits([*found, averages], [*expected, others])
    assert [names.count("dlplug_emulation.adamw_.default") for names in graphs] == [1]


def test_the_op_guards_itself():
    """Called past the public function, the kernel still refuses what it would read wrongly."""
    numbers = torch.tensor([*OPTIONS.values(), 0.25], dtype=torch.float64)
    with emulated():
        op = torch.ops.dlplug_emulation.adamw_
    for change, words in (
        (lambda x: copy_of(x, torch.float64), "expected float32, bfloat16 or float16"),
        (lambda x: [x[0], x[1], [torch.zeros(4)], *x[3:]], "must have its shape"),
        (lambda x: [*x[:5], []], "lists of the same length"),
        (lambda x: replaced(x, lambda t: torch.zeros(10)[::2].copy_(t)), "must be dense"),
    ):
        with pytest.raises(RuntimeError, match=words):
            op(*change(make_lists([(5,)])), [], numbers, False)
    with pytest.raises(RuntimeError, match="six float64 numbers"):
        op(*make_lists([(5,)]), [], numbers.float(), False)
