"""FusedAdamW's checkpoints, and what changes or is let go between its steps."""

import copy
import io
import pickle
import weakref

import pytest
import torch
from torch import nn

from dlplug import ops
from dlplug.errors import BackendError, CheckpointError
from dlplug.ops.fallback.compact_adamw import STORAGES
from dlplug.optim import CompactAdamW, FusedAdamW
from tests.optim.adamw_cases import (
    BOTH,
    assert_equal_params,
    give_gradients,
    make,
    mixed,
    needs_kernels,
    take_steps,
)


@pytest.mark.parametrize("first", BOTH)
@pytest.mark.parametrize("second", BOTH)
@pytest.mark.parametrize("options", [{}, {"amsgrad": True}, {"fused": True}], ids=str)
def test_checkpoints_load_both_ways(first, second, options):
    """Training goes on from the other's checkpoint as from one's own."""
    params, optimizer = make(first, **options)
    take_steps((params, optimizer))
    file = io.BytesIO()
    torch.save({"params": params, "optimizer": optimizer.state_dict()}, file)
    take_steps((params, optimizer), seeds=range(5, 10))

    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed, other = make(second, **options)
    for param, value in zip(resumed, saved["params"], strict=True):
        param.data.copy_(value)
    other.load_state_dict(saved["optimizer"])
    take_steps((resumed, other), seeds=range(5, 10))
    assert_equal_params(resumed, params, 0 if first is second else 32)


@pytest.mark.parametrize("storage", STORAGES)
def test_a_compact_state_is_taken_where_its_m_and_v_are_values(storage):
    """Codes would be read as numbers; ``plain_state_dict()`` gives any of them as such."""
    weights = torch.linspace(-1, 1, 6).bfloat16()
    param, other = nn.Parameter(weights), nn.Parameter(weights.float())
    compact, plain = CompactAdamW([param], storage=storage), FusedAdamW([other])
    param.grad = torch.linspace(0.5, 3, 6).bfloat16()
    compact.step()
    if storage == "float32_states":
        plain.load_state_dict(compact.state_dict())
    else:
        with pytest.raises(CheckpointError, match=f"has storage '{storage}' of CompactAdamW") as e:
            plain.load_state_dict(compact.state_dict())
        assert "plain_state_dict()" in e.value.fix and not plain.state
        plain.load_state_dict(compact.plain_state_dict())
    values = compact.float32_values(param)
    for name in ("exp_avg", "exp_avg_sq"):
        assert torch.equal(plain.state[other][name], values[name])
    other.grad = param.grad.float()
    plain.step()
    assert plain.state[other]["step"] == 2


def test_state_dicts_have_one_layout():
    """Keys, dtypes, shapes and groups do not tell which class wrote a checkpoint."""
    described = []
    for optimizer in BOTH:
        pair = make(optimizer, amsgrad=True)
        take_steps(pair)
        state = pair[1].state_dict()
        entries = {
            (i, name): (value.dtype, value.shape, value.stride())
            for i, values in state["state"].items()
            for name, value in values.items()
        }
        described.append((entries, state["param_groups"]))
    assert described[0] == described[1]


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))]
)
def test_copies_are_independent(duplicate):
    """A copied or pickled optimizer steps its own parameters, not the original's."""
    pair = make(FusedAdamW)
    take_steps(pair)
    twin = duplicate(pair)
    before = [param.detach().clone() for param in pair[0]]
    take_steps(twin, seeds=[7])
    assert all(torch.equal(param.detach(), old) for param, old in zip(pair[0], before, strict=True))
    take_steps(pair, seeds=[7])
    assert_equal_params(pair[0], twin[0], 0)


def changes(params, optimizer):
    """Ways in which a tensor of a running optimizer gets another address or another meaning."""
    state = optimizer.state[params[0]]
    yield lambda: setattr(params[0], "data", params[0].data.clone())
    yield lambda: setattr(params[0], "data", params[0].data.T.contiguous().T)
    yield lambda: state.update(exp_avg=state["exp_avg"].clone())
    yield lambda: state.update(exp_avg_sq=state["exp_avg_sq"].T.contiguous().T)
    yield lambda: state.update(step=state["step"].clone())
    yield lambda: state["exp_avg"].set_(state["exp_avg"].clone())
    yield lambda: optimizer.state.pop(params[1])
    yield lambda: optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    yield lambda: torch.utils.swap_tensors(
        state["exp_avg_sq"], state["exp_avg_sq"].detach().clone()
    )
    yield lambda: optimizer.param_groups[0]["params"].pop(2)


@pytest.mark.parametrize("index", range(10))
def test_nothing_stale_is_used(index):
    """After any replacement the next steps are PyTorch's next steps."""
    ours, theirs = make(FusedAdamW), make(torch.optim.AdamW)
    take_steps(ours, theirs)
    for params, optimizer in (ours, theirs):
        list(changes(params, optimizer))[index]()
    take_steps(ours, theirs, seeds=range(5, 9))
    assert_equal_params(ours[0], theirs[0], 32)


TURNS = {
    "parameter": lambda param, m, v: setattr(param, "data", param.data.T),
    "state": lambda param, m, v: m.t_(),
    "all": lambda *row: [setattr(x, "data", x.data.T) for x in row],
    "fewer": lambda *row: [setattr(x, "data", x.data[:2]) for x in row],
}


@pytest.mark.parametrize("turn", TURNS)
def test_another_layout_at_the_same_address_is_noticed(turn):
    """Elements are paired as their indices say, not as they lie."""
    pairs = [make(cls, shapes=[(4, 4), (3,)]) for cls in (FusedAdamW, torch.optim.AdamW)]
    take_steps(*pairs)
    for params, optimizer in pairs:
        state = optimizer.state[params[0]]
        address = params[0].data_ptr()
        TURNS[turn](params[0], state["exp_avg"], state["exp_avg_sq"])
        assert params[0].data_ptr() == address
    take_steps(*pairs, seeds=range(5, 9))
    assert_equal_params(pairs[0][0], pairs[1][0], 32)


def test_a_model_can_change_its_dtype():
    """After ``.bfloat16()`` and a reload, which casts the states, the kernel takes bfloat16."""
    model = nn.Linear(3, 4)
    optimizer = FusedAdamW(model.parameters())
    for dtype in (torch.float32, torch.bfloat16, torch.float64, torch.float32):
        model.to(dtype)
        optimizer.load_state_dict(optimizer.state_dict())
        give_gradients(0, model.parameters())
        optimizer.step()
        for param in model.parameters():
            assert optimizer.state[param]["exp_avg"].dtype == dtype
            assert param.isfinite().all()


def test_states_of_another_dtype_are_refused_as_in_pytorch():
    """Without a reload the states keep their dtype, which PyTorch's code does not mix."""
    params, optimizer = make(FusedAdamW, shapes=[(3, 3)])
    take_steps((params, optimizer))
    params[0].data = params[0].data.bfloat16()
    give_gradients(0, params)
    with pytest.raises(RuntimeError, match="dtype"):
        optimizer.step()


def test_autograd_notices_the_step():
    """Going back through a graph of before the step is an error, as with PyTorch's optimizer."""
    params, optimizer = make(FusedAdamW, shapes=[(3,)])
    loss = params[0].square().sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


KINDS_OF_GROUP = {
    "kernel": lambda: make(FusedAdamW),
    "fused torch": lambda: make(FusedAdamW, torch.float64),
    "mixed": lambda: mixed(FusedAdamW),
    "loop": lambda: make(FusedAdamW, foreach=False),
}


@pytest.mark.parametrize("kind", KINDS_OF_GROUP)
def test_gradients_are_not_held_after_the_step(kind):
    """Once set to None their memory is free, that of copies with other strides too."""
    params, optimizer = KINDS_OF_GROUP[kind]()
    for seed in range(2):  # the first step makes the states
        give_gradients(seed, params)
        params[0].grad = params[0].grad.T.contiguous().T
        optimizer.step()
    held = [weakref.ref(param.grad) for param in params]
    optimizer.zero_grad(set_to_none=True)
    assert not [ref for ref in held if ref() is not None]
    assert not [rows for rows in optimizer._rows.values() if rows._copies]


@needs_kernels
def test_gradients_are_not_held_after_a_step_that_failed():
    """An exception leaves as little behind."""
    params, optimizer = make(FusedAdamW, torch.float64)
    give_gradients(0, params)
    with ops.use_backend("cpu"):
        try:
            optimizer.step()
        except BackendError:
            failed = True
    assert failed
    held = [weakref.ref(param.grad) for param in params]
    optimizer.zero_grad(set_to_none=True)
    assert not [ref for ref in held if ref() is not None]
