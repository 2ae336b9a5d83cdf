"""The CUDA kernel of compact AdamW, run by the emulation of ``csrc/emulation``."""

import pytest
import torch

from dlplug import ops
from dlplug.errors import BackendError
from dlplug.ops import _compact_device
from dlplug.ops._device_step import CHUNK, DeviceFactors
from dlplug.ops.fallback.compact_adamw import BLOCK, STORAGES
from tests.ops.adamw_cases import OPTIONS, SIZES
from tests.ops.emulation import emulated, needs_emulation, needs_fma
from tests.ops.test_compact_adamw import BFLOAT16, each_pair, make

pytestmark = [
    needs_emulation,
    pytest.mark.usefixtures("one_thread"),
    needs_fma,
]
# Both sides of a vector, of 64 random columns, of a block, of a chunk; and several chunks.
ALL_SIZES = [*SIZES, 191, 192, BLOCK - 1, BLOCK, BLOCK + 1, CHUNK - 1, CHUNK + 1, 2 * CHUNK + 300]
SHAPES = [(size,) for size in ALL_SIZES]
each_storage = pytest.mark.parametrize("storage", STORAGES)


def averages_of(lists):
    return [param.float() + 0.1 for param in lists[0]]


def steps(lists, storage, averages=(), count=3, **options):
    """Gradients and a seed of their own in each."""
    params, grads, states = lists
    for number in range(count):
        given = [grad * (number + 1) for grad in grads]
        seed = {"seed": 2**62 + 12345 * number} if storage == "stochastic" else {}
        numbers = OPTIONS | seed | options
        ops.compact_adamw_(
            params, given, states, storage=storage, averages=averages, average_weight=0.1, **numbers
        )
    return given


def on_cpu(*args, **options):
    with ops.use_backend("cpu"), ops.use_isa("avx2"):
        return steps(*args, **options)


def on_gpu(*args, order=0, has_device_steps=True, **options):
    with emulated(order, has_device_steps):
        return steps(*args, **options)


def assert_same(found, expected):
    for kind, other in zip(found, expected, strict=True):
        torch.testing.assert_close(kind, other, rtol=0, atol=0, equal_nan=True)


@each_pair
@pytest.mark.parametrize("has_device_steps", [True, False])
@pytest.mark.parametrize("maximize", [False, True])
def test_it_has_the_cpu_s_bits(storage, dtype, has_device_steps, maximize):
    """Parameters, states, averages; random bits too."""
    found, expected = make(storage, dtype, SHAPES), make(storage, dtype, SHAPES)
    averages, others = averages_of(found), averages_of(expected)
    on_gpu(found, storage, averages, has_device_steps=has_device_steps, maximize=maximize)
    on_cpu(expected, storage, others, maximize=maximize)
    assert_same([*found, averages], [*expected, others])


@each_storage
def test_float32_parameters_beside_bfloat16(storage):
    """They keep float32 states under a storage for bfloat16, in the same launch."""
    lists = [make(storage, dtype, [(300,), (9000,)]) for dtype in (BFLOAT16, torch.float32) * 2]
    found, expected = (
        [a + b for a, b in zip(*pair, strict=True)] for pair in (lists[:2], lists[2:])
    )
    on_gpu(found, storage)
    on_cpu(expected, storage)
    assert_same(found, expected)


@each_storage
@pytest.mark.parametrize("offset", [1, 4, 8])
def test_nothing_outside_is_touched(storage, offset):
    """Tensors that begin anywhere: neighbours keep their values, and the bits are the same."""
    found, expected = make(storage, shapes=SHAPES), make(storage, shapes=SHAPES)
    averages, others, buffers = averages_of(found), averages_of(expected), []

    def moved(tensor):
        buffer = torch.full((tensor.numel() + 128 + offset,), 7, dtype=tensor.dtype)
        buffers.append((buffer, tensor.numel()))
        return buffer[64 + offset :][: tensor.numel()].copy_(tensor)

    found[0], found[1], averages = ([moved(t) for t in kind] for kind in (*found[:2], averages))
    for state in found[2]:
        state.update({name: moved(t) for name, t in state.items() if name != "step"})
    on_gpu(found, storage, averages)
    on_cpu(expected, storage, others)
    assert_same([*found, averages], [*expected, others])
    for buffer, size in buffers:
        assert (buffer[: 64 + offset] == 7).all() and (buffer[64 + offset + size :] == 7).all()


@each_storage
def test_special_numbers(storage):
    """NaN, infinities, huge and tiny gradients leave the CPU's bits."""
    values = [float("nan"), float("inf"), -float("inf"), 3e38, -1e20, 0.0, -0.0, 1e-30, 1e-39]
    found, expected = (make(storage, shapes=[(700,), (BLOCK,)]) for _ in "12")
    for lists in (found, expected):
        for i, value in enumerate(values):
            lists[1][0][40 * i] = value
    on_gpu(found, storage)
    on_cpu(expected, storage)
    assert_same(found, expected)


@each_storage
def test_the_order_of_threads_changes_no_bit(storage):
    """Forwards, backwards or at random."""
    results = [make(storage, shapes=SHAPES[-3:]) for _ in range(4)]
    for order, lists in enumerate(results):
        on_gpu(lists, storage, order=order)
        assert_same(lists, results[0])


@each_storage
def test_unscaling_clipping_and_skipping_stay_on_the_device(storage):
    """As with the same numbers on the host, which none of it reaches."""
    found, expected = make(storage, shapes=SHAPES), make(storage, shapes=SHAPES)
    norm = torch.tensor(100.0, dtype=torch.float64)
    there = {"grad_scale": torch.tensor(8.0), "norm": norm, "max_norm": 2.0}
    mine = on_gpu(found, storage, factors=DeviceFactors(**there, found_inf=torch.tensor(0.0)))
    other = on_cpu(expected, storage, grad_scale=8.0, grad_factor=16.0 / (100 + 1e-6))
    assert_same([*found, mine], [*expected, other])
    skipped = on_gpu(found, storage, factors=DeviceFactors(**there, found_inf=torch.tensor(1.0)))
    assert_same(found, expected)
    assert_same([skipped], [[grad * 3 for grad in found[1]]])
    # Elsewhere they are asked for.
    for lists, inf in ((expected, 1.0), (found, 0.0)):
        on_cpu(lists, storage, factors=DeviceFactors(**there, found_inf=torch.tensor(inf)), count=1)
    assert [state["step"].item() for state in expected[2]] == [3.0] * len(SHAPES)
    assert [state["step"].item() for state in found[2]] == [4.0] * len(SHAPES)
    on_cpu(expected, storage, grad_scale=8.0, grad_factor=16.0 / (100 + 1e-6), count=1)
    assert_same(found, expected)


def test_a_graph_would_repeat_random_bits():
    """By a seed of the host that storage is refused while a graph is captured; others are not."""
    monkey = pytest.MonkeyPatch()
    monkey.setattr(_compact_device, "is_capturing", lambda _: True)
    on_gpu(make("kahan", shapes=[(5,)]), "kahan")
    with pytest.raises(BackendError, match="same random numbers in each replay"):
        on_gpu(make("stochastic", shapes=[(5,)]), "stochastic")
    seed = DeviceFactors(seed=torch.tensor(5))
    on_gpu(make("stochastic", shapes=[(5,)]), "stochastic", factors=seed, count=1)
    monkey.undo()


@pytest.mark.parametrize("order", [0, 1, 6])
def test_a_seed_on_the_device_goes_on_there(order):
    """Each step has its own bits, from the same number on as by the host's seeds; modulo 2^63."""
    found, expected = (make("stochastic", shapes=SHAPES) for _ in "12")
    first, difference = 2**63 - 1000, 2**62 + 999
    seed = torch.tensor(first)
    factors = DeviceFactors(seed=seed)
    for number in range(3):
        on_gpu(found, "stochastic", order=order, seed=difference, factors=factors, count=1)
        on_cpu(expected, "stochastic", seed=(first + number * difference) % 2**63, count=1)
    assert_same(found, expected)
    assert seed.item() == (first + 3 * difference) % 2**63
    # Elsewhere it is asked for.
    on_cpu(found, "stochastic", seed=difference, factors=factors, count=1)
    on_cpu(expected, "stochastic", seed=(first + 3 * difference) % 2**63, count=1)
    assert_same(found, expected)
    assert seed.item() == (first + 4 * difference) % 2**63


def test_steps_lie_together():
    """All on the device, or all on the CPU."""
    lists = make("kahan", shapes=[(5,), (6,)])
    lists[2][1]["step"] = torch.zeros((), device="meta")
    with emulated(), pytest.raises(BackendError, match="a step is not on cpu, as others are"):
        ops.compact_adamw_(*lists, storage="kahan", **OPTIONS)
