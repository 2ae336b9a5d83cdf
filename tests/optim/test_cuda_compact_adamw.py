"""CompactAdamW on a device, run by the emulation of ``csrc/emulation``."""

from contextlib import contextmanager

import pytest
import torch

from dlplug import ops
from dlplug.errors import BackendError
from dlplug.ops import _device_table
from dlplug.ops.fallback.compact_adamw import STORAGES
from dlplug.optim import CompactAdamW
from dlplug.optim._on_device import params_by_device
from tests.ops.emulation import emulated, needs_emulation, needs_fma
from tests.optim.adamw_cases import needs_kernels

pytestmark = needs_emulation
SHAPES = [(33,), (0,), (70, 130), ()]
each_storage = pytest.mark.parametrize("storage", STORAGES)


@contextmanager
def cpu():
    with ops.use_backend("cpu"), ops.use_isa("avx2"):
        yield


def steps(backend, storage, scale=None, skipped=(), groups=1, num_steps=3, **options):
    """The optimizer after some steps, and its parameters with their gradients."""
    numbers = torch.Generator().manual_seed(0)

    def draw():
        return [torch.randn(shape, generator=numbers).bfloat16() for shape in SHAPES]

    params = [torch.nn.Parameter(tensor) for tensor in draw()]
    parts = [{"params": params[i::groups], "weight_decay": 0.1 * i} for i in range(groups)]
    torch.manual_seed(3)
    optimizer = CompactAdamW(parts, lr=0.03, storage=storage, **options)
    with backend():
        for step in range(num_steps):
            for param, grad in zip(params, draw(), strict=True):
                param.grad = grad
            if scale is not None:
                optimizer.grad_scale = torch.tensor(scale)
                optimizer.found_inf = torch.tensor(float(step in skipped))
            optimizer.step()
    return optimizer, params


@each_storage
def test_tables_are_written_once(storage, monkeypatch):
    """With gradients where they were, a step writes nothing but what it updates."""
    optimizer, params = steps(emulated, storage, max_grad_norm=0.5)
    written = []
    with emulated(), monkeypatch.context() as patched:
        write = _device_table._write.op
        patched.setattr(_device_table._write, "op", lambda *a: written.append(a) or write(*a))
        optimizer.step()
        assert not written
        params[0].grad = params[0].grad.clone()
        optimizer.step()
        assert len(written) == 2  # of the update, and of the norm


@needs_fma
@each_storage
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_grad_norm": 0.5, "ema_decay": 0.9},
        {"fused": True, "scale": 512.0, "max_grad_norm": 0.1, "ema_decay": 0.9},
        {"fused": True, "scale": 512.0, "skipped": (1,), "max_grad_norm": 0.1},
        {"capturable": True},
    ],
    ids=["plain", "clip and average", "scaled", "skipped", "capturable"],
)
def test_a_step_has_the_cpu_s_bits(storage, groups, options):
    """Clipping, averages, unscaling, and skipping, which draws no random bits."""
    optimizer, found = steps(emulated, storage, groups=groups, **options)
    plain = options | {"capturable": False}  # which is refused of parameters there
    other, expected = steps(cpu, storage, groups=groups, **plain)
    for a, b in zip(found, expected, strict=True):
        pairs = [(a, b), (a.grad, b.grad)]
        assert optimizer.state[a].keys() == other.state[b].keys()
        pairs += [(t, other.state[b][name]) for name, t in optimizer.state[a].items()]
        for one, two in pairs:
            torch.testing.assert_close(one, two, rtol=0, atol=0)
    groups = [o.state_dict()["param_groups"] for o in (optimizer, other)]
    for group in groups[1]:
        group["capturable"] = "capturable" in options
    assert groups[0] == groups[1]  # seeds, too


@each_storage
def test_nothing_is_asked_of_the_device(storage, monkeypatch):
    """Seeds of random bits lie there, too."""

    def refuse(self):
        raise AssertionError("the host waits for the device")

    for name in ("item", "tolist", "__bool__", "__float__", "cpu", "numpy"):
        monkeypatch.setattr(torch.Tensor, name, refuse)
    optimizer, _ = steps(
        emulated, storage, fused=True, scale=512.0, max_grad_norm=0.1, ema_decay=0.9, groups=2
    )
    optimizer.param_groups[0]["lr"] = torch.tensor(0.1)
    with emulated():
        optimizer.step()


@pytest.mark.parametrize("storage", ["kahan", "stochastic"])
def test_capturable(storage, monkeypatch):
    """Steps and seeds lie on the device; those that the host counts are refused in a graph."""
    optimizer, _ = steps(emulated, storage, capturable=True)
    for name in ("_device_step", "_compact_device"):
        monkeypatch.setattr(f"dlplug.ops.{name}.is_capturing", lambda _: True)
    with emulated():
        optimizer.step()
    with (
        emulated(has_device_steps=False),
        pytest.raises(BackendError, match="graph would keep"),
    ):
        optimizer.step()


@needs_kernels
def test_seeds_return_to_the_host():
    """Where a GradScaler is left out again, or the model moves; a checkpoint has numbers."""
    options = dict(storage="stochastic", fused=True)
    optimizer, params = steps(emulated, scale=8.0, **options)
    other, expected = steps(cpu, scale=8.0, **options)
    for each, backend in ((optimizer, emulated), (other, cpu)):
        assert type(each.state_dict()["param_groups"][0]["seed"]) is int
        del each.grad_scale, each.found_inf
        with backend():
            each.step()
        assert type(each.param_groups[0]["seed"]) is int
    assert all(map(torch.equal, params, expected))


@needs_kernels
def test_states_from_before_there_was_capturable():
    """They load, as those of an optimizer that is not."""
    optimizer, params = steps(cpu, "kahan")
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        del group["capturable"]
    other = CompactAdamW(params, storage="kahan")
    other.load_state_dict(state)
    assert other.param_groups[0]["capturable"] is False
    copies = [torch.nn.Parameter(param.detach()) for param in params]
    asked = CompactAdamW(copies, storage="kahan", capturable=True)
    asked.load_state_dict(state)
    assert asked.param_groups[0]["capturable"] is True
    with cpu():
        other.step()


def test_parameters_by_device():
    """Each has numbers of its own for its random bits."""
    near, far = (torch.nn.Parameter(torch.ones(2, device=d)) for d in ("cpu", "meta"))
    with emulated():
        parts = params_by_device([far, near, far, near])
    assert parts == [(0, [far, far]), (2, [near, near])]
