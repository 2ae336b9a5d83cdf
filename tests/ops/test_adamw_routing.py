"""Which backend an AdamW step takes, and what is refused."""

import pytest
import torch

from dlplug import ops
from dlplug.errors import BackendError, DtypeError, ShapeError
from tests.ops.adamw_cases import (
    DTYPES,
    OPTIONS,
    assert_same_bits,
    copy_of,
    make_lists,
    replaced,
    run_reference,
)

pytestmark = pytest.mark.usefixtures("cpu_kernels", "one_thread")


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
