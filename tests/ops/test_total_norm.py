"""The norm of several tensors: against float64, on every instruction set, and where it goes."""

import pytest
import torch

from dlplug import ops
from dlplug.errors import BackendError, DtypeError
from dlplug.ops.fallback import total_norm as reference
from tests.ops.norm_properties import needs_kernels

SHAPES = [(3, 5), (), (0, 4), (16384,), (40001,), (7, 13, 2)]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def lists(dtype=torch.float32, scale=1.0, shapes=SHAPES):
    torch.manual_seed(0)
    return [torch.randn(shape).mul(scale).to(dtype) for shape in shapes]


def exact(tensors):
    """In float64."""
    return torch.cat([tensor.detach().double().flatten() for tensor in tensors]).norm()


@needs_kernels
@pytest.mark.usefixtures("cpu_kernels", "one_thread")
@pytest.mark.parametrize("isa", ops.isas())
@pytest.mark.parametrize("dtype", DTYPES)
def test_it_is_the_norm_in_float64_rounded_once(isa, dtype):
    """Tensors with no element, with one, with tails and of several chunks."""
    tensors = lists(dtype)
    with ops.use_isa(isa):
        norm = ops.total_norm(tensors)
    assert norm.shape == () and norm.dtype is torch.float32
    assert norm == exact(tensors).float()


@pytest.mark.parametrize("dtype", [*DTYPES, torch.float64])
def test_the_reference_is_pytorch_s(dtype):
    """At most one rounding of float32 from the norm that clipping computes in float32."""
    tensors = lists(dtype)
    norm = reference.total_norm(tensors)
    wide = torch.promote_types(dtype, torch.float32)
    theirs = torch.nn.utils.get_total_norm([tensor.to(wide) for tensor in tensors])
    assert norm.dtype is wide and norm.shape == ()
    torch.testing.assert_close(norm, theirs, rtol=1.2e-7, atol=0)


@needs_kernels
@pytest.mark.parametrize("scale", [1e25, 1e-30])
def test_squares_neither_overflow_nor_vanish(scale):
    """PyTorch's do, in float32."""
    tensors = lists(scale=scale)
    assert not 0 < torch.nn.utils.get_total_norm(tensors) < float("inf")
    assert ops.total_norm(tensors) == exact(tensors).float()


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", [0, 15, 16384, 40000])
def test_one_bad_element_shows(backend, value, place):
    """Wherever it is: in a whole vector, in a tail, in another chunk."""
    tensors = lists()
    tensors[4][place] = value
    with ops.use_backend(backend):
        assert not torch.isfinite(ops.total_norm(tensors))


@needs_kernels
@pytest.mark.usefixtures("cpu_kernels")
def test_the_number_of_threads_changes_no_bit():
    """The shares follow from the tensors alone."""
    tensors = lists(shapes=[(100003,), (5,), (70000,)])
    before = torch.get_num_threads()
    norms = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            norms.append(ops.total_norm(tensors).item())
    finally:
        torch.set_num_threads(before)
    assert norms[0] == norms[1] == norms[2]


def test_nothing_has_the_norm_0():
    """No tensors, or no elements."""
    assert ops.total_norm([]) == 0
    assert ops.total_norm([torch.zeros(0)]) == 0


@needs_kernels
def test_dense_strides_are_taken_as_they_are():
    """The order of the elements does not matter, so nothing is copied."""
    tensors = [torch.randn(6, 5, 4).permute(2, 0, 1), torch.randn(8).as_strided((4, 2), (1, 4))]
    with ops.use_backend("cpu"):
        assert ops.total_norm(tensors) == exact(tensors).float()


@needs_kernels
@pytest.mark.parametrize(
    ("tensors", "why"),
    [
        ([torch.randn(8)[::2]], "gaps or overlap"),
        ([torch.randn(3).expand(2, 3)], "gaps or overlap"),
        ([torch.randn(3).double()], "not float32, bfloat16 or float16"),
        ([torch.nn.Parameter(torch.randn(3))], "a gradient may be asked for"),
        ([torch.randn(3), torch.randn(3, device="meta")], "not on cpu"),
    ],
    ids=["gaps", "expanded", "float64", "gradient", "device"],
)
def test_what_the_kernel_refuses_says_why(tensors, why):
    """`explain` names it, the forced backend raises it, and the reference does it."""
    assert why in ops.explain(ops.total_norm, tensors).refused["cpu"]
    with ops.use_backend("cpu"), pytest.raises(BackendError, match=why):
        ops.total_norm(tensors)
    if not tensors[-1].is_meta:
        expected = exact(tensors).to(tensors[0].dtype)
        torch.testing.assert_close(ops.total_norm(tensors).detach(), expected)


def test_released_memory_is_refused():
    """As that of sharded parameters between their uses; the kernel would read address 0."""
    tensor = torch.randn(4)
    tensor.untyped_storage().resize_(0)
    if ops.isas():
        assert "released" in ops.explain(ops.total_norm, [tensor]).refused["cpu"]


def test_a_gradient_is_given_where_it_is_asked_for():
    """d |x| / dx = x / |x|."""
    x = torch.randn(5, requires_grad=True)
    ops.total_norm([x]).backward()
    torch.testing.assert_close(x.grad, x.detach() / x.detach().norm())


def test_it_is_traced():
    """A compiler gets PyTorch's ops, which it fuses itself."""
    tensors = lists(shapes=[(3, 5), (40,)])
    compiled = torch.compile(lambda a, b: ops.total_norm([a, b]), fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(*tensors), reference.total_norm(tensors), rtol=0, atol=0)


# torch's own decompositions for forward mode are scripted.
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_transforms_of_functions_go_through_it(backend):
    """Its gradient, one norm for each of a batch, and its slope, whose tensors have no memory."""
    x, y = lists(shapes=[(3, 5), (3, 5)])

    def both(a):
        return ops.total_norm([a, 2 * a.double()])

    with ops.use_backend(backend):
        norm = 5**0.5 * x.double().norm()
        torch.testing.assert_close(torch.func.grad(both)(x), (5 * x / norm).float())
        each = torch.vmap(both)(x)
        torch.testing.assert_close(each, 5**0.5 * x.double().norm(dim=1))
        found, slope = torch.func.jvp(both, (x,), (y,))
        torch.testing.assert_close((found, slope), (norm, 5 * (x.double() * y).sum() / norm))


@pytest.mark.parametrize("tensor", [torch.arange(3), torch.eye(2).to_sparse()], ids=["int", "coo"])
@pytest.mark.parametrize("backend", ["auto", "reference", *(["cpu"] if ops.isas() else [])])
def test_other_tensors_are_refused(backend, tensor):
    """With one error on every backend."""
    what = r"total_norm: tensors\[1\] must be dense and floating"
    with ops.use_backend(backend), pytest.raises(DtypeError, match=what):
        ops.total_norm([torch.ones(2), tensor])
