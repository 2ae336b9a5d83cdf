"""What compact AdamW does besides its update: unscale, clip, average."""

import pytest
import torch

from dlplug import ops
from dlplug.errors import BackendError, DtypeError, ShapeError
from dlplug.ops.fallback.adamw import move_averages
from tests.ops.adamw_cases import OPTIONS, assert_same_bits, each_isa
from tests.ops.norm_properties import needs_kernels
from tests.ops.test_compact_adamw import each_pair, make, values

pytestmark = pytest.mark.usefixtures("one_thread")


def step(lists, storage, grads=None, **options):
    torch.manual_seed(1)
    params, given, states = lists
    ops.compact_adamw_(params, grads or given, states, storage=storage, **OPTIONS | options)


def averages_of(lists):
    return [param.float() + 0.1 for param in lists[0]]


def tensors(lists):
    """Parameters, gradients and every state."""
    return [*lists[:2], *([t for t in state.values()] for state in lists[2])]


@needs_kernels
@each_isa
@each_pair
def test_averages_are_those_of_a_pass_after_the_step(isa, storage, dtype):
    """Of the parameters as they are stored, at every size; all else as without averages."""
    found, expected = make(storage, dtype), make(storage, dtype)
    averages, others = averages_of(found), averages_of(found)
    with ops.use_isa(isa), ops.use_backend("cpu"):
        for weight in (0.01, 0.7):
            step(found, storage, averages=averages, average_weight=weight)
            step(expected, storage)
            move_averages(others, expected[0], weight)
    assert_same_bits(tensors(found), tensors(expected))
    if isa == "scalar":  # no fused multiply-add: a rounding apart
        torch.testing.assert_close(averages, others, rtol=1e-6, atol=1e-6)
    else:
        assert_same_bits([averages], [others])


@needs_kernels
@each_isa
@each_pair
@pytest.mark.parametrize("factor", [1.0, 0.25])
def test_scaled_gradients_give_the_step_of_their_quotients(isa, storage, dtype, factor):
    """Divided by 2^k and kept so; the factor is in the step alone. Nothing else is written."""
    found, expected = make(storage, dtype), make(storage, dtype)
    scaled = [grad * 8 for grad in found[1]]
    buffers = [torch.full((grad.numel() + 66,), torch.nan, dtype=dtype) for grad in scaled]
    grads = [
        b[33 : 33 + g.numel()].copy_(g.flatten()).view(g.shape)
        for b, g in zip(buffers, scaled, strict=True)
    ]
    with ops.use_isa(isa), ops.use_backend("cpu"):
        step(found, storage, grads, grad_scale=8.0, grad_factor=factor)
        step(expected, storage, [grad * factor for grad in expected[1]])
    assert_same_bits(tensors([found[0], grads, found[2]]), tensors(expected))
    for buffer, grad in zip(buffers, grads, strict=True):
        assert buffer[:33].isnan().all() and buffer[33 + grad.numel() :].isnan().all()


@each_pair
def test_the_reference_does_the_same(storage, dtype):
    """Unscaling, factor and averages, within a step of what is stored."""
    if not ops.isas():
        pytest.skip("no compiled CPU kernels here")
    found = []
    for backend in ("cpu", "reference"):
        lists = make(storage, dtype)
        averages, grads = averages_of(lists), [grad * 8 for grad in lists[1]]
        options = dict(grad_scale=8.0, grad_factor=0.5, averages=averages, average_weight=0.25)
        with ops.use_backend(backend):
            step(lists, storage, grads, **options)
        assert_same_bits([grads], [lists[1]])
        found.append([torch.cat(averages), *values(lists, storage)])
    for mine, other in zip(*found, strict=True):
        eps = 0.02 if storage in ("8bit", "kahan", "stochastic") else 0.01
        torch.testing.assert_close(mine, other, rtol=eps, atol=eps * other.abs().max().item())


@needs_kernels
def test_a_gradient_with_other_strides_keeps_its_quotient():
    """It is copied for the kernel, and written back."""
    lists = make("kahan", shapes=[(4, 6)])
    grad = torch.full((6, 4), 16.0, dtype=torch.bfloat16).T
    step(lists, "kahan", [grad], grad_scale=8.0)
    assert torch.equal(grad, torch.full((4, 6), 2.0, dtype=torch.bfloat16))


def test_wrong_averages_are_refused():
    """Another number of them, shape, dtype, strides; memory of another tensor."""
    lists = make("kahan", shapes=[(4, 6), (4, 6)])
    fine = averages_of(lists)
    for averages, error, words in (
        (fine[:1], ShapeError, "2 params, but 1 averages"),
        ([fine[0], fine[1][:2]], ShapeError, r"averages\[1\] has shape \(2, 6\), its parameter"),
        (lists[0], DtypeError, r"averages\[0\] is torch.bfloat16, of a torch.bfloat16 parameter"),
    ):
        with pytest.raises(error, match=words):
            step(lists, "kahan", averages=averages, average_weight=0.5)
    if not ops.isas():
        return
    for averages, words in (
        ([fine[0].T.contiguous().T, fine[1]], "other strides"),
        ([fine[0], fine[0]], "shares memory"),
    ):
        with ops.use_backend("cpu"), pytest.raises(BackendError, match=words):
            step(lists, "kahan", averages=averages, average_weight=0.5)
