"""Tensors whose memory was let go are refused by every op that is given lists, and by name."""

import pytest
import torch

from dlplug import ops
from dlplug.errors import OpError
from dlplug.ops._adamw_rows import NAMES
from dlplug.ops._memory_layout import addresses_of
from dlplug.ops._released import have_memory, is_released
from tests.ops.adamw_cases import OPTIONS, make_lists

BACKENDS = ["auto", "reference"]
KINDS = ["whole", "view"]


def released(tensor, kind="view"):
    """A tensor of the same values and dtype until its storage was let go."""
    memory = torch.zeros(7 + tensor.numel(), dtype=tensor.dtype)
    own = memory[7:] if kind == "view" else memory[: tensor.numel()]
    own = own.view(tensor.shape).copy_(tensor)
    memory.untyped_storage().resize_(0)
    assert own.data_ptr() == (7 * tensor.itemsize if kind == "view" else 0)
    return own


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int16])
def test_a_view_of_nothing_is_told_from_one_of_something(dtype):
    """Also far into a storage, and where addresses are as low as a view's begin."""
    x = torch.zeros(2**16, dtype=dtype)
    views = [x, x[3:], x[2**15 :].view(4, -1).t(), x[5]]
    assert not any(map(is_released, views))
    assert have_memory(views, addresses_of(views))
    assert have_memory(views, [64] * len(views))
    x.untyped_storage().resize_(0)
    for view in views:
        assert is_released(view)
        assert not have_memory([torch.zeros(3), view], addresses_of([torch.zeros(3), view]))


def test_nothing_needs_no_memory():
    """Of a tensor without elements the address is 0, too."""
    assert have_memory([], [])
    assert have_memory([torch.zeros(0, 3)], [0])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_total_norm_refuses_it(backend, kind):
    """With the number of the tensor."""
    tensors = [torch.ones(3), released(torch.ones(10), kind)]
    words = r"total_norm: the memory of tensors\[1\], torch.float32 of shape \(10,\), was released"
    with ops.use_backend(backend), pytest.raises(OpError, match=words):
        ops.total_norm(tensors)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["params", "grads", "exp_avgs", "exp_avg_sqs", "max_exp_avg_sqs"])
def test_adamw_refuses_it(backend, kind, name):
    """Before anything has changed."""
    which = NAMES.index(name)
    lists = make_lists([(3,), (5,)], step=1, amsgrad=True)
    lists[which][1] = released(lists[which][1], kind)
    before = lists[0][0].clone()
    words = rf"adamw_: the memory of {name}\[1\]"
    with ops.use_backend(backend), pytest.raises(OpError, match=words):
        ops.adamw_(*lists, **OPTIONS)
    assert torch.equal(lists[0][0], before)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["params", "grads", "exp_avg", "compensation"])
def test_compact_adamw_refuses_it(backend, kind, name):
    """Parameters, gradients and all that a state has."""
    params = [torch.ones(n, dtype=torch.bfloat16) for n in (3, 5)]
    grads = [torch.ones_like(param) for param in params]
    states = [ops.compact_state(param, "kahan") for param in params]
    if name in ("params", "grads"):
        own = params if name == "params" else grads
        own[1] = released(own[1], kind)
    else:
        states[1][name] = released(states[1][name], kind)
    words = rf"compact_adamw_: the memory of {name}\[1\]"
    with ops.use_backend(backend), pytest.raises(OpError, match=words):
        ops.compact_adamw_(params, grads, states, storage="kahan", **OPTIONS)
    assert torch.equal(params[0], torch.ones(3, dtype=torch.bfloat16))


def test_what_pytorch_gives_no_memory_is_no_error():
    """Zeros of autograd, which its own code takes for zeros."""
    zeros = torch._efficientzerotensor(3)
    assert ops.total_norm([torch.ones(4), zeros]) == 2


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")  # of torch's vmap
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("op", ["adamw_", "compact_adamw_"])
def test_a_batch_of_vmap_has_none_and_is_no_error(op, backend):
    """Each gets the step that it gets alone."""
    param, grads = torch.ones(5), torch.randn(3, 5)

    def step(grad):
        own, m, v = param + 0 * grad, 0 * grad, 0 * grad
        if op == "adamw_":
            ops.adamw_([own], [grad], [m], [v], [], [torch.zeros(())], **OPTIONS)
        else:
            state = {"exp_avg": m, "exp_avg_sq": v, "step": torch.zeros(())}
            ops.compact_adamw_([own], [grad], [state], storage="float32_states", **OPTIONS)
        return own

    with ops.use_backend(backend):
        torch.testing.assert_close(torch.vmap(step)(grads), torch.stack([*map(step, grads)]))
