"""AdamW with compact states: what each storage keeps, kernel against reference, refusals."""

import copy

import pytest
import torch

from dlplug import ops
from dlplug.errors import BackendError, DtypeError, InvalidValueError, ShapeError
from dlplug.ops.fallback import compact_adamw as reference
from dlplug.ops.fallback.compact_adamw import BLOCK, STORAGES
from tests.ops.adamw_cases import OPTIONS, SIZES, each_isa, in_memory_order
from tests.ops.norm_cases import needs_kernels

BFLOAT16, FLOAT32 = torch.bfloat16, torch.float32
# Each storage with a dtype of parameters that it is for.
PAIRS = [(storage, BFLOAT16) for storage in STORAGES]
PAIRS += [
    (storage, dtype) for storage in ("float32_states", "8bit") for dtype in (FLOAT32, torch.float16)
]
each_pair = pytest.mark.parametrize(("storage", "dtype"), PAIRS)


def make(storage, dtype=BFLOAT16, shapes=None, seed=0):
    """Parameters, gradients, new states."""
    numbers = torch.Generator().manual_seed(seed)
    shapes = shapes or [(size,) for size in [*SIZES, 2 * BLOCK + 3]]
    params, grads = ([torch.randn(s, generator=numbers).to(dtype) for s in shapes] for _ in "pg")
    states = [ops.compact_state(param, storage) for param in params]
    return [params, grads, states]


def run(lists, storage, count=3, backend="cpu", **options):
    """Several steps; the gradients change from step to step."""
    params, grads, states = lists
    torch.manual_seed(1)
    with ops.use_backend(backend):
        for number in range(count):
            given = [grad * (number + 1) for grad in grads]
            ops.compact_adamw_(params, given, states, storage=storage, **OPTIONS | options)
    return lists


def values(lists, storage):
    """Parameter, m and v of all rows, in float32."""
    rows = [reference.read(p, s, storage) for p, s in zip(lists[0], lists[2], strict=True)]
    return [torch.cat(column) for column in zip(*rows, strict=True)]


@needs_kernels
@pytest.mark.usefixtures("one_thread")
@each_isa
@each_pair
@pytest.mark.parametrize("maximize", [False, True])
def test_the_kernel_does_what_the_reference_does(isa, storage, dtype, maximize):
    """Sizes around vectors, units and blocks; apart by a rounding of what is stored."""
    ours, theirs = make(storage, dtype), make(storage, dtype)
    with ops.use_isa(isa):
        run(ours, storage, maximize=maximize)
    run(theirs, storage, backend="reference", maximize=maximize)
    # Where float32 results differ by a rounding, what is stored may differ by a step: 2^-7 in
    # bfloat16, 2 / 127 of m and 4 / 255 of v in 8 bits.
    coarse = {"8bit": 0.02, "stochastic": 0.01, "kahan": 0.01}.get(storage, 1e-5)
    of_param = 1e-5 if storage == "remainder" or dtype is FLOAT32 else 0.01
    if storage == "8bit":
        of_param = 0.02
    pairs = zip(values(ours, storage), values(theirs, storage), strict=True)
    for (mine, other), eps in zip(pairs, (of_param, coarse, coarse), strict=True):
        torch.testing.assert_close(mine, other, rtol=eps, atol=eps * other.abs().max().item())
    if dtype is not FLOAT32:  # few are that near to a tie
        same = sum((a == b).sum().item() for a, b in zip(ours[0], theirs[0], strict=True))
        assert same >= 0.95 * sum(param.numel() for param in ours[0])
    assert [state["step"].item() for state in ours[2]] == [3.0] * len(ours[2])


@needs_kernels
@pytest.mark.usefixtures("one_thread")
@each_isa
def test_a_remainder_gives_the_bits_of_float32(isa):
    """The masters are those of plain AdamW in float32, and the parameter is their rounding."""
    lists = make("remainder")
    masters = [param.float() for param in lists[0]]
    states = [[torch.zeros_like(master) for master in masters] for _ in "mv"]
    steps = [torch.zeros(()) for _ in masters]
    with ops.use_isa(isa):
        run(lists, "remainder", count=5)
        for number in range(5):
            grads = [(grad * (number + 1)).float() for grad in lists[1]]
            with ops.use_backend("cpu"):
                ops.adamw_(masters, grads, *states, [], steps, **OPTIONS)
    assert torch.equal(values(lists, "remainder")[0], torch.cat(masters))
    for param, master in zip(lists[0], masters, strict=True):
        rounded = (master - param.float()).abs() <= master.abs() * 2**-8
        assert rounded.all()


@pytest.mark.parametrize(
    "value", [0.0, -0.0, 1.0, -3.3895e38, 3.4028e38, 1e-45, float("inf"), float("nan"), 1.00390625]
)
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_remainder_keeps_any_float32(value, backend):
    """What is written is what is read: ties, the largest numbers, infinity, NaN."""
    if backend == "cpu" and not ops.isas():
        pytest.skip("no compiled CPU kernels here")
    param = torch.zeros(20, dtype=BFLOAT16)
    state = ops.compact_state(param, "remainder")
    given = torch.full((20,), value)
    reference.write(param, state, "remainder", (given, torch.zeros(20), torch.zeros(20)))
    still = OPTIONS | {"lr": 0.0}
    with ops.use_backend(backend):
        ops.compact_adamw_(
            [param],
            [torch.zeros_like(param)],
            [state],
            storage="remainder",
            **still,
        )
    found = reference.read(param, state, "remainder")[0]
    if abs(value) < 2**-126:
        given = found * 0 + (0.0 if backend == "cpu" else value)  # the kernel flushes denormals
    torch.testing.assert_close(found, given, rtol=0, atol=0, equal_nan=True)


@needs_kernels
@each_isa
def test_stochastic_rounding_holds_on_average(isa):
    """10,000 roundings of one update that is a tenth of a bfloat16's step."""
    param = torch.ones(10000, dtype=BFLOAT16)
    state = ops.compact_state(param, "stochastic")
    torch.manual_seed(0)
    update = 2**-7 / 10
    with ops.use_isa(isa), ops.use_backend("cpu"):
        ops.compact_adamw_(
            [param],
            [-torch.ones_like(param)],
            [state],
            storage="stochastic",
            **OPTIONS | {"lr": update, "weight_decay": 0.0, "eps": 0.0},
        )
    assert set(param.tolist()) == {1.0, 1.0 + 2**-7}
    # Standard deviation of the mean: 0.3 * 2^-7 / 100; five of them.
    assert abs(param.double().mean() - 1 - update) < 5 * 0.3 * 2**-7 / 100


@needs_kernels
def test_the_seed_rules_the_rounding():
    """The same bits from the same seed, others from another, for one thread or several."""
    found = []
    before = torch.get_num_threads()
    try:
        for threads, count in ((1, 2), (2, 2)):
            torch.set_num_threads(threads)
            found.append(run(make("stochastic", shapes=[(40000,), (333,)]), "stochastic", count))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(found[0][0], found[1][0], strict=True))
    torch.manual_seed(7)
    other = make("stochastic", shapes=[(40000,), (333,)])
    for _ in range(2):
        ops.compact_adamw_(*other, storage="stochastic", **OPTIONS)
    assert not torch.equal(other[0][0], found[0][0][0])


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_given_seed_is_the_only_source_of_chance(backend):
    """The same bits wherever torch's generator is, which stays there; others from another seed."""
    if backend == "cpu" and not ops.isas():
        pytest.skip("no compiled CPU kernels here")
    found = []
    for seed, drawn in ((5, 0), (5, 3), (2**63 - 1, 0)):
        lists = make("stochastic", shapes=[(3000,), (333,)])
        torch.manual_seed(drawn)
        before = torch.get_rng_state()
        with ops.use_backend(backend):
            ops.compact_adamw_(*lists, storage="stochastic", seed=seed, **OPTIONS)
        assert torch.equal(before, torch.get_rng_state())
        found.append(torch.cat(lists[0]))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("storage", ["kahan", "stochastic", "remainder"])
def test_small_updates_are_not_lost(storage, backend):
    """500 updates of a fiftieth of a bfloat16's step, of which plain bfloat16 keeps none."""
    if backend == "cpu" and not ops.isas():
        pytest.skip("no compiled CPU kernels here")
    still = OPTIONS | {"lr": 2**-7 / 50, "weight_decay": 0.0, "eps": 0.0}
    param = torch.ones(300, dtype=BFLOAT16)
    state = ops.compact_state(param, storage)
    plain = [torch.ones(300, dtype=BFLOAT16)]
    states = [[torch.zeros_like(plain[0])] for _ in "mv"]
    torch.manual_seed(0)
    with ops.use_backend(backend):
        for _ in range(500):
            grad = [-torch.ones_like(param)]
            ops.compact_adamw_([param], grad, [state], storage=storage, **still)
            ops.adamw_(plain, grad, *states, [], [torch.tensor(10.0)], **still)
    assert plain[0].eq(1).all()
    assert abs(param.double().mean().item() - 1 - 10 * 2**-7) < 0.1 * 10 * 2**-7


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_8_bits_keep_the_largest_and_their_neighbours(scale):
    """Relative error of m and v after one store: half a step, where the steps are finest."""
    m = torch.linspace(-1, 1, 1000).mul(scale)
    v = m.square()
    param = torch.zeros(1000)
    state = ops.compact_state(param, "8bit")
    reference.write(param, state, "8bit", (param, m, v))
    _, m_found, v_found = reference.read(param, state, "8bit")
    largest = [t.view(-1).abs() for t in (m, v)]
    scales = [reference._spread(reference._largest(t), t) for t in largest]
    assert ((m_found - m).abs() <= scales[0] * (2 * 0.5 / 127)).all()
    assert ((v_found - v).abs() <= scales[1] * (4 * 0.5 / 255) * 1.01).all()
    assert state["exp_avg"].dtype is torch.int8 and state["exp_avg_sq"].dtype is torch.uint8


@needs_kernels
def test_dense_strides_are_taken_as_they_are():
    """States lie as the parameter; a gradient that lies otherwise is copied."""
    for storage in STORAGES:
        ours = make(storage, shapes=[(6, 5, 4)])
        theirs = copy.deepcopy(ours)
        ours[0] = [in_memory_order(ours[0][0], [2, 0, 1])]
        ours[2] = [ops.compact_state(ours[0][0], storage)]
        assert ours[2][0]["exp_avg"].stride() == ours[0][0].stride()
        run(ours, storage)
        run(theirs, storage)
        if storage in ("float32_states", "kahan", "remainder"):  # others follow the memory's order
            assert torch.equal(ours[0][0], theirs[0][0]), storage


@pytest.mark.parametrize("storage", STORAGES)
def test_a_gradient_whose_negation_is_pending(storage):
    """It looks contiguous; its memory has the other sign."""
    expected = make(storage, shapes=[(6, 5)])
    lists = copy.deepcopy(expected)
    lists[1][0] = torch._neg_view(expected[1][0].neg())
    run(expected, storage)
    run(lists, storage)
    torch.testing.assert_close(lists[0], expected[0], rtol=0, atol=0)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("which", ["exp_avg", "param"])
def test_tensors_with_gaps_keep_what_lies_between(storage, which):
    """No kernel takes them; the reference gives the same values, and leaves the gaps alone."""
    expected, lists = (make(storage, shapes=[(6, 5)]) for _ in "12")
    given = lists[0][0] if which == "param" else lists[2][0][which]
    wide = torch.full((6, 10), 7, dtype=given.dtype)
    view = wide[:, ::2].copy_(given)
    if which == "param":
        lists[0][0] = view
    else:
        lists[2][0][which] = view
    run(expected, storage, backend="reference")
    run(lists, storage, backend="auto")
    assert wide[:, 1::2].eq(7).all()
    torch.testing.assert_close(lists[0], expected[0], rtol=0, atol=0)
    torch.testing.assert_close(lists[2], expected[2], rtol=0, atol=0)


@needs_kernels
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda lists: lists[0].__setitem__(0, torch.zeros(8, dtype=BFLOAT16)[::2]), "gaps"),
        (lambda lists: lists[2][0].__setitem__("exp_avg", torch.zeros(4, 2)[:, 0]), "strides"),
        (lambda lists: lists[2][1].update(exp_avg=lists[2][0]["exp_avg"]), "shares memory"),
        (lambda lists: lists[2][1].update(step=lists[2][0]["step"]), "shares memory"),
    ],
    ids=["parameter", "state", "sharing", "sharing a step"],
)
def test_what_the_kernel_refuses_goes_to_the_reference(change, why):
    """The forced backend says why."""
    lists = make("float32_states", shapes=[(4,), (4,)])
    change(lists)
    with ops.use_backend("cpu"), pytest.raises(BackendError, match=why):
        ops.compact_adamw_(*lists, storage="float32_states", **OPTIONS)
    assert (
        why
        in ops.explain(ops.compact_adamw_, *lists, storage="float32_states", **OPTIONS).refused[
            "cpu"
        ]
    )
    before = lists[0][1].clone()
    ops.compact_adamw_(*lists, storage="float32_states", **OPTIONS)
    assert not torch.equal(lists[0][1], before)


@needs_kernels
def test_a_gradient_without_memory_goes_to_the_reference():
    """As that of a function that is constant, which autograd makes no memory for."""
    lists, expected = (make("kahan", shapes=[(4,), (4,)]) for _ in "12")
    lists[1][1] = torch._efficientzerotensor(4, dtype=BFLOAT16)
    expected[1][1] = torch.zeros(4, dtype=BFLOAT16)
    with ops.use_backend("cpu"), pytest.raises(BackendError, match="memory was released"):
        ops.compact_adamw_(*lists, storage="kahan", **OPTIONS)
    ops.compact_adamw_(*lists, storage="kahan", **OPTIONS)
    ops.compact_adamw_(*expected, storage="kahan", **OPTIONS)
    torch.testing.assert_close(lists[0], expected[0])


def test_wrong_calls_are_refused():
    """An unknown storage, dtypes it is not for, states of another, other shapes."""
    with pytest.raises(InvalidValueError, match="no storage 'kahn'") as error:
        ops.compact_state(torch.ones(2), "kahn")
    assert "kahan" in error.value.fix
    with pytest.raises(DtypeError, match="'kahan' is for bfloat16, float32"):
        ops.compact_state(torch.ones(2, dtype=torch.float16), "kahan")
    lists = make("kahan", shapes=[(4,)])
    with pytest.raises(DtypeError, match="no state of the storage 'remainder'"):
        ops.compact_adamw_(*lists, storage="remainder", **OPTIONS)
    lists[1] = [torch.ones(5, dtype=BFLOAT16)]
    with pytest.raises(ShapeError, match=r"grads\[0\] has shape \(5,\), its parameter \(4,\)"):
        ops.compact_adamw_(*lists, storage="kahan", **OPTIONS)
    lists[1] = [torch.ones(4)]
    with pytest.raises(DtypeError, match=r"grads\[0\] is torch.float32, its parameter torch.bf"):
        ops.compact_adamw_(*lists, storage="kahan", **OPTIONS)
    lists[1], lists[2] = [torch.ones(4, dtype=BFLOAT16)], make("kahan", shapes=[(5,)])[2]
    with pytest.raises(ShapeError, match=r"states\[0\] is no state .*'kahan' for shape \(4,\)"):
        ops.compact_adamw_(*lists, storage="kahan", **OPTIONS)
    with pytest.raises(ShapeError, match="1 params, but 0 grads"):
        ops.compact_adamw_(lists[0], [], lists[2], storage="kahan", **OPTIONS)
    ops.compact_adamw_([], [], [], storage="kahan", **OPTIONS)
    with pytest.raises(InvalidValueError, match="'kahan' draws no numbers"):
        ops.compact_adamw_([], [], [], storage="kahan", seed=1, **OPTIONS)
    for seed in (-1, 2**63):
        with pytest.raises(InvalidValueError, match=r"is not in \[0, 2\^63\)"):
            ops.compact_adamw_([], [], [], storage="stochastic", seed=seed, **OPTIONS)
