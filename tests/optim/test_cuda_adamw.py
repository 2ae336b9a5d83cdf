"""FusedAdamW on a device, run by the emulation of ``csrc/emulation``."""

import sys
from contextlib import contextmanager

import pytest
import torch

from dlplug import ops
from dlplug.errors import BackendError, InvalidValueError
from dlplug.ops import _adamw_device, _adamw_rows, _device_step, _device_table
from dlplug.optim import FusedAdamW, _on_device
from tests.ops.emulation import emulated, launches, needs_emulation, needs_fma

pytestmark = needs_emulation
SHAPES = [(33,), (0,), (70, 130), ()]
_total_norm = sys.modules["dlplug.ops.total_norm"]  # `ops` has a function of this name
OPTIONS = dict(lr=0.03, betas=(0.9, 0.99), weight_decay=0.1)


@contextmanager
def cpu():
    with ops.use_backend("cpu"), ops.use_isa("avx2"):
        yield


def steps(
    backend, num_steps=3, scale=None, found_inf=None, dtype=torch.float32, groups=1, **options
):
    """The optimizer after some steps, and what gradients are then."""
    numbers = torch.Generator().manual_seed(0)
    draw = lambda: [torch.randn(shape, generator=numbers).to(dtype) for shape in SHAPES]  # noqa: E731
    params = [torch.nn.Parameter(t) for t in draw()]
    parts = [{"params": params[i::groups], "weight_decay": 0.1 * i} for i in range(groups)]
    optimizer = FusedAdamW(parts, **OPTIONS, **options)
    with backend():
        for step in range(num_steps):
            for param, grad in zip(params, draw(), strict=True):
                param.grad = grad
            if scale is not None:
                optimizer.grad_scale = torch.tensor(scale)
                optimizer.found_inf = torch.tensor(float(step in (found_inf or ())))
            optimizer.step()
    return optimizer, params


def assert_same(found, expected):
    (optimizer, params), (other, others) = found, expected
    for a, b in zip(params, others, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=0)
        assert optimizer.state[a].keys() == other.state[b].keys()
        for name, tensor in optimizer.state[a].items():
            torch.testing.assert_close(tensor, other.state[b][name], rtol=0, atol=0)


@needs_fma
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"amsgrad": True, "maximize": True},
        {"max_grad_norm": 0.5, "ema_decay": 0.9},
        {"max_grad_norm": 1e6},
        {"fused": True, "scale": 512.0, "max_grad_norm": 0.1, "ema_decay": 0.9},
        {"fused": True, "scale": 512.0, "found_inf": (1,), "max_grad_norm": 0.1, "ema_decay": 0.9},
    ],
    ids=["plain", "amsgrad", "clip and average", "no clip", "scaled", "skipped"],
)
def test_a_step_has_the_cpu_s_bits(dtype, groups, options):
    """Clipping, averages, unscaling and skipping, in all combinations that matter."""
    assert_same(
        steps(emulated, dtype=dtype, groups=groups, **options),
        steps(cpu, dtype=dtype, groups=groups, **options),
    )


def test_a_skipped_step_leaves_everything():
    """Gradients keep their scale, and steps are not counted."""
    options = dict(fused=True, scale=8.0, ema_decay=0.9, max_grad_norm=0.1)
    optimizer, params = steps(emulated, **options)
    before = [t.clone() for p in params for t in (p, p.grad, *optimizer.state[p].values())]
    optimizer.grad_scale, optimizer.found_inf = torch.tensor(4.0), torch.tensor(1.0)
    with emulated():
        optimizer.step()
    after = [t for p in params for t in (p, p.grad, *optimizer.state[p].values())]
    assert all(map(torch.equal, after, before))
    optimizer.found_inf = torch.tensor(0.0)
    with emulated():
        optimizer.step()
    assert not any(torch.equal(a, b) for a, b in zip(after, before, strict=True) if a.numel() > 1)


def test_nothing_is_asked_of_the_device(monkeypatch):
    """No number of a tensor reaches the host: in a CUDA graph that would be an error."""

    def refuse(self):
        raise AssertionError("the host waits for the device")

    for name in ("item", "tolist", "__bool__", "__float__", "__int__", "cpu", "numpy"):
        monkeypatch.setattr(torch.Tensor, name, refuse)
    optimizer, _ = steps(
        emulated, fused=True, scale=512.0, max_grad_norm=0.1, ema_decay=0.9, groups=2
    )
    optimizer.param_groups[0]["lr"] = torch.tensor(0.1)
    with emulated():
        optimizer.step()
    with pytest.raises(AssertionError, match="waits"):
        torch.ones(1).item()


def test_tables_are_written_once(monkeypatch):
    """With gradients where they were, a step writes nothing but what it updates."""
    optimizer, params = steps(emulated, max_grad_norm=0.5)
    written = []
    with emulated():
        write = _device_table._write.op
        monkeypatch.setattr(_device_table._write, "op", lambda *a: written.append(a) or write(*a))
        optimizer.step()
        written.clear()
        optimizer.step()
        assert not written
        params[0].grad = params[0].grad.clone()
        optimizer.step()
        assert len(written) == 2  # of the update, and of the norm
        monkeypatch.undo()


@pytest.mark.parametrize("options", [{}, {"max_grad_norm": 0.5, "ema_decay": 0.9}], ids=str)
def test_a_step_is_one_launch_and_one_for_the_norm(options):
    """Once the tables are there; for any number of groups one launch each."""
    optimizer, _ = steps(emulated, fused=True, scale=8.0, groups=2, **options)
    with emulated():
        optimizer.step()
        with launches() as count:
            optimizer.step()
    assert count == [2 + ("max_grad_norm" in options)]


@needs_fma
@pytest.mark.parametrize("max_grad_norm", [0.05, 1e6])
def test_one_norm_of_the_cpu_s_and_the_devices_gradients(max_grad_norm, monkeypatch):
    """Parameters on both: each is clipped by the norm of all, and keeps its gradient."""
    numbers = torch.Generator().manual_seed(0)
    starts, grads = ([torch.randn(s, generator=numbers) for s in SHAPES] for _ in "12")
    found, expected = ([torch.nn.Parameter(t.clone()) for t in starts] for _ in "12")
    for params in (found, expected):
        for param, grad in zip(params, grads, strict=True):
            param.grad = grad.clone()
    groups = [{"params": found[:2]}, {"params": found[2:]}]
    with cpu():
        FusedAdamW(expected, **OPTIONS, max_grad_norm=max_grad_norm).step()
        native = _total_norm._norm.op
    optimizer = FusedAdamW(groups, **OPTIONS, max_grad_norm=max_grad_norm)
    near = {id(param) for param in found[:2]}
    with emulated():
        emulated_norm = _total_norm._norm.op
        monkeypatch.setattr(
            _total_norm._norm,
            "op",
            lambda table: (emulated_norm if table.numel() % 3 == 1 else native)(table),
        )
        monkeypatch.setattr(_on_device._device_table, "is_on_device", lambda t: id(t) not in near)
        optimizer.step()
        kinds = [type(rows) for rows in optimizer._rows.values()]
        monkeypatch.undo()
    assert kinds == [_adamw_rows.Rows, _adamw_device.DeviceRows]
    for param, other, grad in zip(found, expected, grads, strict=True):
        assert torch.equal(param, other) and torch.equal(param.grad, grad)


def test_what_the_host_would_have_to_know_is_refused():
    """Steps on the CPU beside found_inf or a graph; betas on the device."""
    optimizer, _ = steps(emulated, fused=True)
    optimizer.grad_scale, optimizer.found_inf = torch.tensor(4.0), torch.tensor(1.0)
    with emulated(has_device_steps=False), pytest.raises(BackendError, match="found_inf decides"):
        optimizer.step()
    del optimizer.grad_scale, optimizer.found_inf
    monkey = pytest.MonkeyPatch()
    monkey.setattr(_device_step, "is_capturing", lambda _: True)
    with (
        emulated(has_device_steps=False),
        pytest.raises(BackendError, match="a CUDA graph would keep one") as error,
    ):
        optimizer.step()
    assert "capturable=True" in error.value.fix
    monkey.undo()
    optimizer.param_groups[0]["betas"] = (torch.tensor(0.9), 0.99)
    with emulated(), pytest.raises(InvalidValueError, match="beta1 and beta2 must be numbers"):
        optimizer.step()


def test_parts_by_device():
    """Rows that lie together are updated together; empty lists stay empty."""
    near, far = torch.ones(2), torch.ones(2, device="meta")
    lists = ([near, far, near], ["a", "b", "c"], [])
    assert _on_device.parts_by_device(lists) == [
        ("cpu", ([near, near], ["a", "c"], [])),
        ("meta", ([far], ["b"], [])),
    ]
    assert _on_device.parts_by_device(([near], ["a"])) == [("all", ([near], ["a"]))]


def test_a_table_that_stays_counts_the_blocks_of_each_step():
    """With gradients at the same addresses nothing writes the counter anew but the kernel."""
    params = [torch.nn.Parameter(torch.ones(shape)) for shape in SHAPES]
    for param in params:
        param.grad = torch.ones_like(param)
    optimizer = FusedAdamW(params, **OPTIONS)
    with emulated():
        for _ in range(3):
            optimizer.step()
    assert [state["step"].item() for state in optimizer.state.values()] == [3.0] * len(params)


@needs_fma
@pytest.mark.parametrize("options", [{}, {"amsgrad": True, "ema_decay": 0.9}], ids=str)
def test_a_compiled_step_is_one_op(options, compiler):
    """The whole step is a full graph with the op in it, which counts steps on the device.

    A CUDA graph around it would keep the first step's numbers, so compilers are told.
    """
    assert torch.Tag.cudagraph_unsafe in torch.ops.dlplug.adamw_.default.tags
    graphs = []

    def capture(module, _):
        graphs.append([str(node.target) for node in module.graph.nodes])
        return module

    def compiled():
        optimizer.step()

    optimizer, params = steps(emulated, num_steps=1, **options)
    other, expected = steps(cpu, num_steps=1, **options)
    run = torch.compile(compiled, fullgraph=True, backend=capture)
    for _ in range(2):
        with emulated():
            run()
        with cpu():
            other.step()
    assert [names.count("dlplug_emulation.adamw_.default") for names in graphs] == [1]
    assert_same((optimizer, params), (other, expected))
