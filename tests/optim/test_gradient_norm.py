"""Tests of dlplug/optim/_gradient_norm.py: clipping by the norm of what several processes have."""

import itertools
import multiprocessing
from contextlib import nullcontext

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor

from dlplug import ops
from dlplug.optim import CompactAdamW, FusedAdamW
from dlplug.optim._gradient_norm import groups_with_parts
from tests.ops.emulation import emulated, needs_emulation

SHAPES = [(5, 3), (8,), (1, 4), (70, 9)]
PLACEMENTS = [Shard(0), Shard(0), Replicate(), Shard(1)]
MAX_NORM = 0.05


def drawn():
    numbers = torch.Generator().manual_seed(0)
    return [[torch.randn(shape, generator=numbers) for shape in SHAPES] for _ in range(2)]


def stepped(optimizer_class, params, grads, **options):
    """The parameters after two steps of a scaler that has found nothing."""
    # By this eps a step depends on how large gradients are, not only on their directions.
    options = dict(lr=0.1, eps=0.01, max_grad_norm=MAX_NORM, fused=True) | options
    optimizer = optimizer_class(params, **options)
    for _ in range(2):
        for param, grad in zip(params, grads, strict=True):
            param.grad = grad.clone()
        optimizer.grad_scale, optimizer.found_inf = torch.tensor(4.0), torch.tensor(0.0)
        optimizer.step()
    return params


def cases():
    """Optimizers with their options."""
    return [(FusedAdamW, {}), (CompactAdamW, {"storage": "float32_states"})]


def be_one_of_two(rank, store, is_emulated, answers):
    """Puts what each optimizer makes of parameters that two processes have together."""
    dist.init_process_group("gloo", f"file://{store}", rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    found = []
    for (optimizer_class, options), are_summands in itertools.product(cases(), (False, True)):
        if are_summands and is_emulated:  # PyTorch has no sums on a device that is none
            continue
        params, grads = (
            [distribute_tensor(t, mesh, [p]) for t, p in zip(kind, PLACEMENTS, strict=True)]
            for kind in drawn()
        )
        if are_summands:
            share = (0.25, 0.75)[rank]
            grads = [DTensor.from_local(t * share, mesh, [Partial()]) for t in drawn()[1]]
        params = [torch.nn.Parameter(param) for param in params]
        with emulated() if is_emulated else nullcontext():
            stepped(optimizer_class, params, grads, **options)
        found.append([param.full_tensor().tolist() for param in params])
    answers.put(found)
    dist.destroy_process_group()


@pytest.mark.parametrize(
    "is_emulated", [False, pytest.param(True, marks=needs_emulation)], ids=["cpu", "cuda"]
)
def test_two_processes_clip_by_the_norm_of_the_whole(is_emulated, tmp_path):
    """Whether a parameter is split, along which axis, or lies on both; or its gradient is a sum."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    arguments = (tmp_path / "store", is_emulated, answers)
    processes = [context.Process(target=be_one_of_two, args=(r, *arguments)) for r in range(2)]
    for process in processes:
        process.start()
    heard = [answers.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    of_case = [case for case in cases() for _ in range(1 if is_emulated else 2)]
    for case, (optimizer_class, options) in enumerate(of_case):
        params, grads = drawn()
        expected = stepped(optimizer_class, list(map(torch.nn.Parameter, params)), grads, **options)
        for found in heard:
            for mine, other in zip(found[case], expected, strict=True):
                torch.testing.assert_close(torch.tensor(mine), other.detach())


@needs_emulation
@pytest.mark.parametrize("case", cases(), ids=lambda case: case[0].__name__)
def test_nothing_waits_for_the_device(mesh, case, monkeypatch):
    """Neither the scaler's two tensors nor the norm of shards reach the host."""
    optimizer_class, options = case
    params, grads = ([distribute_tensor(t, mesh, [Shard(0)]) for t in kind] for kind in drawn())
    params = list(map(torch.nn.Parameter, params))

    def refuse(self):
        raise AssertionError("the host waits for the device")

    before = [param.full_tensor().clone() for param in params]
    with emulated():
        for name in ("item", "tolist", "__bool__", "__float__", "cpu", "numpy"):
            monkeypatch.setattr(torch.Tensor, name, refuse)
        stepped(optimizer_class, params, grads, **options)
        monkeypatch.undo()
    for param, old in zip(params, before, strict=True):
        assert not torch.equal(param.full_tensor(), old)


@pytest.mark.skipif(not ops.isas(), reason="no compiled CPU kernels here")
def test_shards_keep_their_gradients(mesh):
    """The update clips, as of plain parameters."""
    params, grads = ([distribute_tensor(t, mesh, [Shard(0)]) for t in kind] for kind in drawn())
    params = list(map(torch.nn.Parameter, params))
    optimizer = FusedAdamW(params, max_grad_norm=MAX_NORM)
    for param, grad in zip(params, grads, strict=True):
        param.grad = grad.clone()
    with ops.use_backend("cpu"):
        optimizer.step()
    for param, grad in zip(params, grads, strict=True):
        assert torch.equal(param.grad.to_local(), grad.to_local())


def test_which_processes_have_parts(mesh):
    """One group for each axis that splits; None where elements are sums."""
    local = torch.ones(3)
    of = {p: DTensor.from_local(local, mesh, [p]) for p in (Shard(0), Replicate(), Partial())}
    assert groups_with_parts(local) == groups_with_parts(of[Replicate()]) == ()
    assert groups_with_parts(of[Shard(0)]) == (mesh.get_group(0),)
    assert groups_with_parts(of[Partial()]) is None
