"""A state that is loaded after a CUDA graph has captured a step; graphs by the emulation's word."""

import copy

import pytest
import torch

from dlplug.errors import CheckpointError
from dlplug.ops.fallback.compact_adamw import STORAGES
from dlplug.optim import CompactAdamW, FusedAdamW
from tests.ops.emulation import emulated, needs_emulation

pytestmark = needs_emulation
KINDS = {"plain": (FusedAdamW, {})}
KINDS |= {storage: (CompactAdamW, {"storage": storage}) for storage in STORAGES}
IS_CAPTURING = [
    f"dlplug.ops.{name}.is_capturing" for name in ("_device_step", "_compact_device")
] + ["dlplug.optim._on_device._device_table.is_capturing"]


def make(kind, num_steps, seed=0, **options):
    """Parameters and their optimizer after some steps on the emulated device."""
    numbers = torch.Generator().manual_seed(seed)
    params = [
        torch.nn.Parameter(torch.randn(shape, generator=numbers).bfloat16())
        for shape in [(5, 3), (300,), ()]
    ]
    optimizer_class, own = KINDS[kind]
    optimizer = optimizer_class(params, lr=torch.tensor(0.03), **own, **options)
    with emulated():
        for _ in range(num_steps):
            step(params, optimizer, numbers)
    return params, optimizer


def step(params, optimizer, numbers):
    for param in params:
        param.grad = torch.randn(param.shape, generator=numbers).bfloat16()
    optimizer.step()


def capture(params, optimizer, monkeypatch):
    """A step that believes to be captured; here it is taken, too."""
    with monkeypatch.context() as patched, emulated():
        for name in IS_CAPTURING:
            patched.setattr(name, lambda _: True)
        step(params, optimizer, torch.Generator().manual_seed(9))


def places(optimizer):
    """Every tensor that a graph of the step has the address of."""
    found = [tensor for state in optimizer.state.values() for tensor in state.values()]
    for group in optimizer.param_groups:
        found += [
            group[name] for name in ("lr", "seed") if isinstance(group.get(name), torch.Tensor)
        ]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_loaded_where_the_graph_writes(kind, monkeypatch):
    """With learning rate, seed and averages; the next step is that of the saved state."""
    options = dict(capturable=True, ema_decay=0.9)
    saved_params, saved = make(kind, 3, seed=1, **options)
    saved.param_groups[0]["lr"].fill_(0.5)
    state = copy.deepcopy(saved.state_dict())
    params, optimizer = make(kind, 1, **options)
    capture(params, optimizer, monkeypatch)
    before = places(optimizer)
    optimizer.load_state_dict(state)
    assert [id(a) for a in places(optimizer)] == [id(b) for b in before]
    assert optimizer.param_groups[0]["lr"] == 0.5
    for param, other in zip(params, saved_params, strict=True):
        param.data.copy_(other.data)
    numbers = [torch.Generator().manual_seed(4) for _ in range(2)]
    with emulated():
        step(params, optimizer, numbers[0])
        step(saved_params, saved, numbers[1])
    pairs = zip([*params, *places(optimizer)], [*saved_params, *places(saved)], strict=True)
    for a, b in pairs:
        assert torch.equal(a, b)


@pytest.mark.parametrize("kind", ["plain", "kahan"])
def test_without_a_graph_the_tensors_are_others(kind):
    """As PyTorch loads: what a caller holds of the former state stays what it was."""
    _, optimizer = make(kind, 2, capturable=True)
    kept, state = places(optimizer), copy.deepcopy(optimizer.state_dict())
    optimizer.load_state_dict(state)
    assert not {id(tensor) for tensor in places(optimizer)} & {id(tensor) for tensor in kept}


@pytest.mark.parametrize("kind", ["plain", "kahan"])
@pytest.mark.parametrize("lack", ["everything", "average", "shape"])
def test_what_does_not_fit_there_is_refused(kind, lack, monkeypatch):
    """Before anything changes."""
    params, optimizer = make(kind, 1, capturable=True, ema_decay=0.9)
    capture(params, optimizer, monkeypatch)
    state = copy.deepcopy(optimizer.state_dict())
    if lack == "everything":
        state["state"] = {}
    elif lack == "average":
        del state["state"][1]["ema"]
    else:
        state["state"][1]["exp_avg"] = state["state"][1]["exp_avg"][:7]
    before = [tensor.clone() for tensor in places(optimizer)]
    with pytest.raises(CheckpointError, match="a CUDA graph has captured a step") as error:
        optimizer.load_state_dict(state)
    assert "before the capture" in error.value.fix
    assert all(map(torch.equal, before, places(optimizer)))


def test_a_plain_state_is_taken_into_a_storage(monkeypatch):
    """m and v become what the storage makes of them, where it has them."""
    params, optimizer = make("8bit", 1, capturable=True)
    plain = copy.deepcopy(optimizer.plain_state_dict())
    capture(params, optimizer, monkeypatch)
    before = places(optimizer)
    optimizer.load_state_dict(plain)
    assert [id(a) for a in places(optimizer)] == [id(b) for b in before]
    assert all(state["step"] == 1 for state in optimizer.state.values())


def test_pytorchs_code_is_captured_too(monkeypatch):
    """Where it takes the step, what is loaded is copied to where that reads, too."""
    param = torch.nn.Parameter(torch.ones(3))
    optimizer = FusedAdamW([param], foreach=True)
    param.grad = torch.ones(3)
    optimizer.step()
    loaded = copy.deepcopy(optimizer.state_dict())
    with monkeypatch.context() as patched:
        patched.setattr(IS_CAPTURING[-1], lambda _: True)
        optimizer.step()
    before = places(optimizer)
    optimizer.load_state_dict(loaded)
    assert [id(tensor) for tensor in places(optimizer)] == [id(tensor) for tensor in before]
    torch.testing.assert_close(optimizer.state[param]["exp_avg"], loaded["state"][0]["exp_avg"])
