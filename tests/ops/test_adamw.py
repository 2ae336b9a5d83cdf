"""Results of dlplug/ops/adamw.py and of its kernel."""

import pytest
import torch

from dlplug import ops
from tests.ops.adamw_cases import (
    DTYPES,
    OPTIONS,
    SIZES,
    assert_same_bits,
    assert_within_twice,
    copy_of,
    each_isa,
    make_lists,
    run_fused_torch,
    run_reference,
)

pytestmark = pytest.mark.usefixtures("cpu_kernels", "one_thread")


@each_isa
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("num_steps", [1, 1000])
def test_rounding_is_at_most_twice_pytorchs(isa, dtype, amsgrad, num_steps):
    """After 1 and after 1,000 steps, compared with PyTorch's loop and its fused kernel."""
    found = make_lists([(33,), (2, 5)], dtype, amsgrad=amsgrad)
    oracle, loop, fused = copy_of(found, torch.float64), copy_of(found), copy_of(found)
    numbers = torch.Generator().manual_seed(1)
    with ops.use_isa(isa):
        for _ in range(num_steps):
            for grads in zip(found[1], oracle[1], loop[1], fused[1], strict=True):
                drawn = torch.randn(grads[0].shape, generator=numbers).to(dtype)
                for grad in grads:
                    grad.copy_(drawn)
            ops.adamw_(*found, **OPTIONS)
            run_reference(oracle, **OPTIONS)
            run_reference(loop, **OPTIONS)
            run_fused_torch(fused, **OPTIONS)
    assert_within_twice(found, oracle, loop, fused)
    assert [step.item() for step in found[5]] == [num_steps, num_steps]


@each_isa
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("maximize", [False, True])
def test_every_size(isa, dtype, amsgrad, maximize):
    """Empty tensors, scalars, and sizes on both sides of every width, all in one call."""
    found = make_lists([(), *SIZES], dtype, amsgrad=amsgrad, step=3)
    oracle, fused = copy_of(found, torch.float64), copy_of(found)
    with ops.use_isa(isa):
        ops.adamw_(*found, **OPTIONS, maximize=maximize)
    run_reference(oracle, maximize, **OPTIONS)
    run_fused_torch(fused, maximize, **OPTIONS)
    assert_within_twice(found, oracle, fused)


@each_isa
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [0, 1, 3])
def test_nothing_outside_is_touched(isa, dtype, offset):
    """Tensors at any offset of a buffer: the bytes around them keep their values."""
    margin = 64
    found = make_lists(SIZES, dtype, amsgrad=True, step=1)
    expected = copy_of(found)
    buffers = []
    for kind in found[:5]:
        for i, tensor in enumerate(kind):
            buffer = torch.full((tensor.numel() + 2 * margin + offset,), 7.0, dtype=dtype)
            kind[i] = buffer[margin + offset :][: tensor.numel()].copy_(tensor)
            buffers.append((buffer, margin + offset, tensor.numel()))
    with ops.use_isa(isa):
        ops.adamw_(*found, **OPTIONS)
        ops.adamw_(*expected, **OPTIONS)
    assert_same_bits(found, expected)
    for buffer, start, size in buffers:
        assert (buffer[:start] == 7).all()
        assert (buffer[start + size :] == 7).all()


@pytest.mark.skipif("avx512" not in ops.isas(), reason="this processor has no AVX-512")
@pytest.mark.parametrize("dtype", DTYPES)
def test_instruction_sets_agree(dtype):
    """AVX2 and AVX-512 round every operation alike, so their results have the same bits."""
    narrow = make_lists(SIZES, dtype, amsgrad=True, step=5)
    wide = copy_of(narrow)
    with ops.use_isa("avx2"):
        ops.adamw_(*narrow, **OPTIONS)
    with ops.use_isa("avx512"):
        ops.adamw_(*wide, **OPTIONS)
    assert_same_bits(narrow, wide)


@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_do_not_change_a_bit(dtype):
    """The same bits for any number of threads, with work enough for all of them."""
    shapes = [(100_001,), (7,), (333, 211), (0,), (), (50_000,)]
    results = []
    for count in (1, 2, 3, 5):
        torch.set_num_threads(count)
        results.append(make_lists(shapes, dtype, step=2))
        ops.adamw_(*results[-1], **OPTIONS)
    for result in results[1:]:
        assert_same_bits(result, results[0])


@each_isa
def test_denormal_states_become_zero(isa):
    """States below the smallest normal number do not slow down a run whose gradients died."""
    lists = make_lists([(40,)], step=10)
    for kind in lists[1:4]:
        kind[0].fill_(1e-41)
    with ops.use_isa(isa):
        ops.adamw_(*lists, **OPTIONS)
    assert lists[2][0].count_nonzero() == 0
    assert lists[3][0].count_nonzero() == 0
    assert lists[0][0].isfinite().all()


@each_isa
def test_denormal_halves_are_kept(isa):
    """float16 has denormals where float32 has none: flushing loses none in reading or writing."""
    bits = torch.arange(2**16, dtype=torch.int32).to(torch.int16)
    halves = bits.view(torch.float16)
    small = halves[:0x800]  # every denormal, and normals whose half is one
    lists = make_lists([halves.shape, small.shape], torch.float16)
    lists[0] = [halves.clone(), small.clone()]
    lists[1] = [torch.zeros_like(halves), small.clone()]
    lists[3][0][:0x800] = small
    with ops.use_isa(isa):
        ops.adamw_(*lists, lr=0.0, beta1=0.0, beta2=0.5, eps=1.0, weight_decay=0.0)
    params, _, m, v, _, _ = lists
    torch.testing.assert_close(params[0], halves, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(m[1], small)
    assert torch.equal(v[0][:0x800], (small.double() * 0.5).half())


@pytest.mark.parametrize("flush", [False, True])
def test_the_processors_mode_is_restored(flush):
    """Denormals of other code are treated after a step as before it, on every thread."""
    torch.set_num_threads(2)
    tiny = torch.full((200_000,), 1e-40)
    lists = make_lists([(200_000,)])
    assert torch.set_flush_denormal(False)
    try:
        if flush:
            torch.set_flush_denormal(True)
        before = (tiny * 1.5).count_nonzero()
        ops.adamw_(*lists, **OPTIONS)
        assert (tiny * 1.5).count_nonzero() == before
        assert torch.ones(1).mul(1e-40).count_nonzero() == (0 if flush else 1)
    finally:
        torch.set_flush_denormal(False)


@each_isa
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("beta1", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("amsgrad", [False, True])
def test_special_numbers_do_as_in_pytorch(isa, dtype, beta1, amsgrad):
    """NaN, infinities, huge and zero gradients leave NaN, inf and 0 where PyTorch leaves them."""
    values = [float("nan"), float("inf"), -float("inf"), 1e20, -1e20, 3e38, 0.0, -0.0, 1.0]
    found = make_lists([(len(values),), (2 * len(values) + 16,)], dtype, amsgrad=amsgrad)
    expected = copy_of(found)
    options = {**OPTIONS, "beta1": beta1}
    with ops.use_isa(isa):
        for step in range(3):
            for lists in (found, expected):
                for grad in lists[1]:
                    grad.fill_(0.5)
                    if step < 2:
                        grad[: len(values)] = torch.tensor(values)
            ops.adamw_(*found, **options)
            # Not its fused kernel, whose AMSGrad makes 0 of NaN in bfloat16.
            run_reference(expected, **options)
    for kind in (0, 2, 3, 4):
        for a, b in zip(found[kind], expected[kind], strict=True):
            assert torch.equal(a.isnan(), b.isnan())
            assert torch.equal(a.isinf(), b.isinf())
            # A few roundings of the loop, each at the size that the value has.
            eps = torch.finfo(dtype).eps
            torch.testing.assert_close(a, b, rtol=8 * eps, atol=eps, equal_nan=True)


def test_beta1_of_zero_forgets_everything():
    """With beta1 = 0 the average is the gradient, exactly, whatever it was before."""
    lists = make_lists([(50,)], step=1)
    lists[2][0].fill_(1e8)
    ops.adamw_(*lists, **{**OPTIONS, "beta1": 0.0})
    assert torch.equal(lists[2][0], lists[1][0])
