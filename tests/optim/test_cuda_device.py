"""The optimizers on a GPU: what the emulation's tests hold, and what only a device has."""

import warnings
from contextlib import contextmanager

import pytest
import torch

from dlplug import ops
from dlplug.errors import BackendError
from dlplug.ops.fallback.compact_adamw import STORAGES
from dlplug.optim import CompactAdamW, FusedAdamW
from tests.ops.adamw_cases import (
    DTYPES,
    OPTIONS,
    assert_same_bits,
    averages_of,
    copy_of,
    make_lists,
)
from tests.ops.gpu import needs_gpu
from tests.ops.gpu_memory import needs_memory
from tests.ops.test_compact_adamw import make
from tests.ops.test_cuda_adamw import ALL_SIZES
from tests.ops.test_cuda_compact_adamw import SHAPES as COMPACT_SHAPES
from tests.ops.test_cuda_compact_adamw import averages_of as compact_averages_of
from tests.ops.test_cuda_compact_adamw import steps as compact_steps

pytestmark = needs_gpu
SHAPES = [(33,), (0,), (700, 130), ()]


@pytest.fixture(autouse=True)
def cuda_kernels():
    """A call that the kernels do not take is an error, so that no test passes by falling back."""
    with ops.use_backend("cuda"):
        yield


@pytest.fixture
def no_waiting():
    """Whatever waits for the device is an error."""
    torch.cuda.synchronize()
    with warnings.catch_warnings():
        # An error instead of the warning would come once the mode is set, and it would stay.
        warnings.filterwarnings("ignore", "Synchronization debug mode is a prototype", UserWarning)
        torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode("default")


@contextmanager
def capturing():
    """Within, launches go into a graph; one does, since an empty graph is warned of."""
    torch.cuda.synchronize()
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        torch.zeros(1, device="cuda")
        yield


def on_gpu(lists, has_device_steps):
    *tensors, steps = lists
    moved = [[t.cuda() for t in kind] for kind in tensors]
    return [*moved, [t.cuda() if has_device_steps else t.clone() for t in steps]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("has_device_steps", [True, False])
@pytest.mark.parametrize("amsgrad", [False, True])
def test_the_op_has_the_cpu_s_bits(dtype, has_device_steps, amsgrad):
    """Of all sizes, with averages, over three steps."""
    lists = make_lists(ALL_SIZES, dtype, amsgrad=amsgrad)
    expected, found = copy_of(lists), on_gpu(lists, has_device_steps)
    averages, others = averages_of(found), averages_of(expected)
    for _ in range(3):
        ops.adamw_(*found, **OPTIONS, averages=averages, average_weight=0.1)
        with ops.use_backend("cpu"):
            ops.adamw_(*expected, **OPTIONS, averages=others, average_weight=0.1)
    assert_same_bits([[t.cpu() for t in kind] for kind in (*found, averages)], [*expected, others])


def test_more_elements_than_32_bits_count():
    """The first and the last of 2^31 + 2^20 are updated as they would be alone."""
    needs_memory(24)
    times, (grads, starts) = 2**11 + 1, torch.randn(2, 2**20, device="cuda").bfloat16()
    few, many = (torch.nn.Parameter(starts.repeat(count)) for count in (1, times))
    for param, count in ((few, 1), (many, times)):
        param.grad = grads.repeat(count)
        FusedAdamW([param]).step()
    assert many.numel() > 2**31 and not torch.equal(few, starts)
    for part in (many[: 2**20], many[-(2**20) :]):
        assert torch.equal(part, few)


def parameters(dtype=torch.float32):
    numbers = torch.Generator().manual_seed(0)
    params = [torch.randn(shape, generator=numbers).to("cuda", dtype) for shape in SHAPES]
    params = [torch.nn.Parameter(param) for param in params]
    for param in params:
        param.grad = torch.randn(param.shape, generator=numbers).to("cuda", dtype)
    return params


def test_nothing_waits_for_the_device(no_waiting):
    """Clipping, averages, a scaler's two tensors, a rate on the device."""
    params = parameters()
    rate = torch.tensor(0.1).pin_memory().to("cuda", non_blocking=True)
    optimizer = FusedAdamW(params, lr=rate, fused=True, max_grad_norm=0.1, ema_decay=0.9)
    for _ in range(3):
        optimizer.grad_scale = torch.full((), 512.0, device="cuda")
        optimizer.found_inf = torch.zeros((), device="cuda")
        optimizer.step()


def test_a_graph_replays_steps():
    """Step and rate lie on the device: a replay counts, and reads the rate of then."""
    expected, params = parameters(), parameters()
    options = dict(max_grad_norm=0.1, ema_decay=0.9)
    rate = torch.tensor(0.1, device="cuda")
    reference = FusedAdamW(expected, lr=0.1, fused=True, **options)
    captured = FusedAdamW(params, lr=rate, capturable=True, **options)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        captured.step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured.step()
    for value in (0.1, 0.1, 0.02, 0.3):
        rate.fill_(value)
        graph.replay()
    for value in (0.1, 0.1, 0.1, 0.02, 0.3):
        reference.param_groups[0]["lr"] = torch.tensor(value).item()
        reference.step()
    for a, b in zip(params, expected, strict=True):
        assert torch.equal(a, b)
        assert captured.state[a]["step"].item() == 5
        assert torch.equal(captured.state[a]["ema"], reference.state[b]["ema"])
    captured.step()  # outside of the graph again
    reference.step()
    assert all(map(torch.equal, params, expected))


def test_a_graph_without_capturable_is_refused():
    """It would keep the step number of its capture."""
    optimizer = FusedAdamW(parameters())
    optimizer.step()
    with capturing(), pytest.raises(RuntimeError, match="capturable"):
        optimizer.step()


def test_the_current_stream_is_used():
    """Gradients that are still being made on that stream are waited for, on that stream alone."""
    expected, params = parameters(), parameters()
    reference, optimizer = FusedAdamW(expected), FusedAdamW(params)
    for _ in range(2):
        reference.step()
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    optimizer.step()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        late = [param.grad for param in params]
        for param, grad in zip(params, late, strict=True):
            param.grad = torch.zeros_like(grad)
        torch.cuda._sleep(100_000_000)
        for param, grad in zip(params, late, strict=True):
            param.grad.copy_(grad)
        optimizer.step()
    stream.synchronize()
    assert all(map(torch.equal, params, expected))


def test_a_scaler_skips_what_is_not_finite():
    """GradScaler's own two calls, with float16 gradients that overflow once."""
    params = parameters()
    optimizer = FusedAdamW(params, fused=True, max_grad_norm=1.0)
    scaler = torch.amp.GradScaler("cuda", init_scale=8.0)
    before = [param.detach().clone() for param in params]
    for is_finite in (True, False, True):
        for param in params:
            param.grad = torch.ones_like(param) * (1.0 if is_finite else float("inf"))
        scaler.scale(torch.zeros((), device="cuda"))
        scaler.step(optimizer)
        scaler.update()
    assert {optimizer.state[param]["step"].item() for param in params} == {2.0}
    assert all(param.isfinite().all() for param in params)
    assert not torch.equal(params[0], before[0])


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("has_device_steps", [True, False])
def test_compact_states_have_the_cpu_s_bits(storage, has_device_steps):
    """Of all sizes, with averages, over three steps; random bits too."""
    expected, found = (make(storage, shapes=COMPACT_SHAPES) for _ in "12")
    found[:2] = [[t.cuda() for t in kind] for kind in found[:2]]
    for state in found[2]:
        names = [name for name in state if name != "step" or has_device_steps]
        state.update({name: state[name].cuda() for name in names})
    averages, others = compact_averages_of(found), compact_averages_of(expected)
    compact_steps(found, storage, averages)
    with ops.use_backend("cpu"):
        compact_steps(expected, storage, others)
    states = [{name: t.cpu() for name, t in state.items()} for state in found[2]]
    moved = [[t.cpu() for t in kind] for kind in (found[0], averages)]
    torch.testing.assert_close([*moved, states], [expected[0], others, expected[2]], rtol=0, atol=0)


@pytest.mark.parametrize("storage", STORAGES)
def test_compact_steps_wait_for_nothing(storage, no_waiting):
    """Clipping, averages, a scaler's two tensors."""
    params = parameters(torch.bfloat16)
    optimizer = CompactAdamW(params, storage=storage, fused=True, max_grad_norm=0.1, ema_decay=0.9)
    for _ in range(3):
        optimizer.grad_scale = torch.full((), 512.0, device="cuda")
        optimizer.found_inf = torch.zeros((), device="cuda")
        optimizer.step()


@pytest.mark.parametrize("storage", STORAGES)
def test_a_graph_replays_compact_steps(storage):
    """As many steps outside of a graph give; random bits are others in each replay."""
    expected, params = parameters(torch.bfloat16), parameters(torch.bfloat16)
    options = dict(storage=storage, capturable=True, max_grad_norm=0.1)
    reference, captured = CompactAdamW(expected, **options), CompactAdamW(params, **options)
    for _ in range(4):
        reference.step()
    captured.step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured.step()
    for _ in range(3):
        graph.replay()
    assert all(map(torch.equal, params, expected))
    assert {captured.state[param]["step"].item() for param in params} == {4.0}


def test_a_graph_does_not_repeat_random_bits():
    """Such a storage is refused there, unless its seeds are on the device."""
    optimizer = CompactAdamW(parameters(torch.bfloat16), storage="stochastic")
    optimizer.step()
    with capturing(), pytest.raises(BackendError, match="same random numbers"):
        optimizer.step()


def test_a_compiled_step_has_the_eager_step_s_bits(compiler):
    """It is one op of the graph, with the steps on the device; the rate may be there, too."""
    number = torch.tensor(0.1).item()
    for rate in (number, torch.tensor(0.1, device="cuda")):
        expected, params = parameters(), parameters()
        reference = FusedAdamW(expected, lr=number, amsgrad=True, ema_decay=0.9, fused=True)
        optimizer = FusedAdamW(params, lr=rate, amsgrad=True, ema_decay=0.9, capturable=True)
        torch.compiler.reset()
        step = torch.compile(lambda optimizer=optimizer: optimizer.step(), fullgraph=True)
        for _ in range(3):
            reference.step()
            step()
        assert all(map(torch.equal, params, expected))


@pytest.mark.parametrize("max_grad_norm", [0.05, 1e6])
def test_one_norm_of_the_cpu_s_and_the_gpu_s_gradients(max_grad_norm):
    """Parameters on both: each is clipped by the norm of all."""
    expected, params = parameters(), parameters()
    params = [torch.nn.Parameter(p.detach().cpu()) if i % 2 else p for i, p in enumerate(params)]
    for param, other in zip(params, expected, strict=True):
        param.grad = other.grad.to(param.device)
    with ops.use_backend("auto"):
        FusedAdamW(params, max_grad_norm=max_grad_norm).step()
    FusedAdamW(expected, max_grad_norm=max_grad_norm).step()
    for param, other in zip(params, expected, strict=True):
        torch.testing.assert_close(param.cpu(), other.cpu())
        assert torch.equal(param.grad.cpu(), other.grad.cpu())


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_several_devices_in_one_list():
    """Each has its own launch, and the norm is that of all of them."""
    near, far, expected = parameters(), parameters(), parameters() + parameters()
    far = [torch.nn.Parameter(param.detach().to("cuda:1")) for param in far]
    for param, other in zip(far, near, strict=True):
        param.grad = other.grad.to("cuda:1")
    FusedAdamW([*near, *far], max_grad_norm=0.1).step()
    FusedAdamW(expected, max_grad_norm=0.1).step()
    assert all(torch.equal(a.cpu(), b.cpu()) for a, b in zip([*near, *far], expected, strict=True))
