"""Tests of dlplug/ops/adamw.py and of its kernel."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlplug import ops
from dlplug.errors import BackendError, DtypeError, ShapeError
from tests.ops.adamw_cases import (
    DTYPES,
    OPTIONS,
    SIZES,
    assert_within_twice,
    copy_of,
    make_lists,
    run_fused_torch,
    run_reference,
)

each_isa = pytest.mark.parametrize("isa", ops.isas())


@pytest.fixture(autouse=True)
def cpu_kernels():
    """A call that the kernels do not take is an error, so that no test passes by falling back."""
    if not ops.isas():
        pytest.skip("no compiled CPU kernels here")
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # waking threads for a few elements takes longer than the tests
    with ops.use_backend("cpu"):
        yield
    torch.set_num_threads(before)


def assert_same_bits(lists, others):
    for kind, other in zip(lists, others, strict=True):
        for a, b in zip(kind, other, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


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


def in_memory_order(tensor, order):
    """The same values with the axes laid out in another order."""
    back = [order.index(axis) for axis in range(tensor.dim())]
    return tensor.permute(order).contiguous().permute(back)


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
    ],
    ids=["transposed", "expanded", "strided", "negated"],
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


def test_autograd_notices_the_change():
    """A graph that saved a parameter is refused after the step, as after PyTorch's own."""
    weight = torch.nn.Parameter(torch.randn(3))
    loss = (weight * weight).sum()
    lists = make_lists([(3,)])
    lists[0] = [weight]
    ops.adamw_(*lists, **OPTIONS)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def versions_after_a_step(dtype, backend):
    """By how much the parameters' version counters grew."""
    lists = make_lists([(3,), (2, 2)], dtype)
    before = [param._version for param in lists[0]]
    with ops.use_backend(backend):
        ops.adamw_(*lists, **OPTIONS)
    return [param._version - old for param, old in zip(lists[0], before, strict=True)]


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("dtype", [*DTYPES, torch.float64])
def test_every_route_counts_versions(dtype, backend):
    """PyTorch's fused kernel does not count for itself, on whatever route it is reached."""
    assert min(versions_after_a_step(dtype, backend)) > 0


def test_no_parameters_are_no_work():
    """Empty lists are allowed."""
    ops.adamw_([], [], [], [], [], [], **OPTIONS)
    assert ops.explain(ops.adamw_, [], [], [], [], [], [], **OPTIONS).backend == "reference"


REFUSED = {
    "float64": lambda lists: copy_of(lists, torch.float64),
    "gaps": lambda lists: replaced(lists, lambda t: torch.zeros(2 * t.numel())[::2].copy_(t)),
    "shared": lambda lists: shared(lists),
    "released": lambda lists: released(lists),
}


def replaced(lists, change):
    return [*([change(tensor) for tensor in kind] for kind in lists[:5]), lists[5]]


def shared(lists):
    return [*(kind[:1] * 2 for kind in lists[:5]), lists[5]]


def released(lists):
    lists[0][0].untyped_storage().resize_(0)
    return lists


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("float64", "parameter 0: torch.float64 is not float32, bfloat16 or float16"),
        ("gaps", "leave gaps or overlap"),
        ("shared", "it shares memory with another"),
        ("released", "its memory was released"),
    ],
)
def test_what_the_kernel_refuses(case, reason):
    """Asked for by name the kernel says why it cannot; nothing was changed before it says so."""
    lists = REFUSED[case](make_lists([(5,), (5,)], step=1))
    with pytest.raises(BackendError, match=reason):
        ops.adamw_(*lists, **OPTIONS)
    assert [step.item() for step in lists[5]] == [1, 1]
    with ops.use_backend("auto"):
        assert ops.explain(ops.adamw_, *lists, **OPTIONS).backend == "torch"


@pytest.mark.parametrize("case", ["float64", "gaps", "shared"])
def test_what_is_refused_is_still_updated(case):
    """By default PyTorch's own code takes such a call, with the same meaning."""
    found = REFUSED[case](make_lists([(5,), (5,)], step=1))
    expected = copy_of(found)
    if case == "shared":
        expected = shared(expected)
    with ops.use_backend("auto"):
        ops.adamw_(*found, **OPTIONS)
    run_reference(expected, **OPTIONS)
    for a, b in zip(found[0], expected[0], strict=True):
        torch.testing.assert_close(a, b)


def test_partly_overlapping_parameters_are_refused():
    """Two views of one buffer that share some elements would race."""
    buffer = torch.randn(20)
    lists = make_lists([(12,), (12,), (3,)])
    lists[0] = [buffer[:12], buffer[8:], torch.randn(3)]
    with pytest.raises(BackendError, match="parameter 0: it shares memory with another"):
        ops.adamw_(*lists, **OPTIONS)


def test_explain_and_the_reference():
    """A call can be explained, and the reference can be asked for."""
    lists = make_lists([(5,)])
    assert str(ops.explain(ops.adamw_, *lists, **OPTIONS)) == "adamw_: cpu"
    expected = copy_of(lists)
    with ops.use_backend("reference"):
        assert ops.explain("adamw_", *lists, **OPTIONS).backend == "reference"
        ops.adamw_(*lists, **OPTIONS)
    run_reference(expected, **OPTIONS)
    assert_same_bits(lists, expected)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda x: x[1].pop(), ShapeError, "adamw_: 2 params, but 1 grads"),
        (lambda x: x[5].pop(), ShapeError, "adamw_: 2 params, but 1 steps"),
        (lambda x: x[4].append(x[0][0]), ShapeError, "adamw_: 2 params, but 1 max_exp_avg_sqs"),
        (
            lambda x: x[1].__setitem__(1, torch.ones(4)),
            ShapeError,
            r"adamw_: grads\[1\] has shape \(4,\), its parameter \(5,\)",
        ),
        (
            lambda x: x[3].__setitem__(0, torch.ones(5, dtype=torch.bfloat16)),
            DtypeError,
            r"adamw_: exp_avg_sqs\[0\] is torch.bfloat16, its parameter torch.float32",
        ),
        (
            lambda x: x[1].__setitem__(0, torch.ones(5).to_sparse()),
            DtypeError,
            r"adamw_: grads\[0\] must be dense and floating point, got .*sparse_coo",
        ),
        (
            lambda x: x[0].__setitem__(0, torch.ones(5, dtype=torch.complex64)),
            DtypeError,
            r"adamw_: params\[0\] must be dense and floating point, got torch.complex64",
        ),
        (
            lambda x: x[5].__setitem__(0, torch.ones(2)),
            ShapeError,
            r"adamw_: steps\[0\] must have one element, got shape \(2,\)",
        ),
    ],
)
@pytest.mark.parametrize("backend", ["auto", "reference", "cpu"])
def test_wrong_arguments(change, error, words, backend):
    """The same bad call gets the same message on every backend."""
    lists = make_lists([(5,), (5,)])
    change(lists)
    with ops.use_backend(backend), pytest.raises(error, match=words):
        ops.adamw_(*lists, **OPTIONS)


def numbers():
    return torch.tensor(list(OPTIONS.values()), dtype=torch.float64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("amsgrad", [False, True])
def test_opcheck(dtype, amsgrad):
    """Schema, fake kernel and tracing of the op agree with what it does."""
    lists = make_lists([(5,), (3, 2)], dtype, amsgrad=amsgrad, step=1)
    torch.library.opcheck(torch.ops.dlplug.adamw_.default, (*lists, numbers(), False))


def test_the_op_guards_itself():
    """Called past the public function, the kernel still refuses what it would read wrongly."""
    for change, words in (
        (lambda x: copy_of(x, torch.float64), "expected float32, bfloat16 or float16"),
        (lambda x: [x[0], x[1], [torch.zeros(4)], *x[3:]], "must have its shape"),
        (lambda x: [*x[:5], [torch.zeros((), dtype=torch.float64)]], "step 0 be a float32"),
        (lambda x: [*x[:5], []], "lists of the same length"),
        (lambda x: replaced(x, lambda t: torch.zeros(10)[::2].copy_(t)), "must be dense"),
    ):
        with pytest.raises(RuntimeError, match=words):
            torch.ops.dlplug.adamw_(*change(make_lists([(5,)])), numbers(), False)
    with pytest.raises(RuntimeError, match="contiguous int64 table of 7 columns"):
        torch.ops.dlplug.adamw_table_(
            torch.zeros(6, dtype=torch.int64), False, *OPTIONS.values(), False, 1.0
        )


@pytest.mark.parametrize("amsgrad", [False, True])
def test_compiled_calls_keep_the_op(amsgrad):
    """In a full graph the call is one op, and gives the bits of the eager call."""
    graphs = []

    def capture(module, _):
        graphs.append([str(node.target) for node in module.graph.nodes])
        return module

    @torch.compile(fullgraph=True, backend=capture)
    def step(*lists):
        ops.adamw_(*lists, **OPTIONS)

    found = make_lists([(5,), (3, 2)], amsgrad=amsgrad)
    found[1][1] = found[1][1].T.contiguous().T
    expected = copy_of(found)
    step(*found)
    ops.adamw_(*expected, **OPTIONS)
    assert_same_bits(found, expected)
    assert graphs[0].count("dlplug.adamw_.default") == 1


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
