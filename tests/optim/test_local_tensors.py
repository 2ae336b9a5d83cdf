"""Tests of dlplug/optim/_local_tensors.py: FusedAdamW on distributed tensors, in one process."""

import pytest
import torch
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

from dlplug import ops
from dlplug.optim import FusedAdamW
from dlplug.optim._local_tensors import local_lists

BOTH = [FusedAdamW, torch.optim.AdamW]


@pytest.fixture(autouse=True)
def kernels():
    """Falling back would hide that a distributed tensor was not understood."""
    with ops.use_backend("cpu" if ops.isas() else "auto"):
        yield


def sharded_model(mesh):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    for layer in (model[0], model[2], model):
        fully_shard(layer, mesh=mesh)
    return model


def train(model, optimizer, num_steps):
    torch.manual_seed(num_steps)
    for _ in range(num_steps):
        model(torch.randn(7, 4)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("options", [{}, {"amsgrad": True}, {"fused": True}], ids=str)
def test_fsdp2_trains_as_with_torch(mesh, options):
    """Sharded parameters go through the kernel, and end where PyTorch's optimizer takes them."""
    results = []
    for optimizer in BOTH:
        model = sharded_model(mesh)
        stepper = optimizer(model.parameters(), lr=0.05, **options)
        with ops.use_backend("auto"):
            train(model, stepper, 5)
        assert all(isinstance(param, DTensor) for param in model.parameters())
        results.append([param.full_tensor().detach() for param in model.parameters()])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


def test_states_are_distributed_like_the_parameters(mesh):
    """A distributed checkpoint finds the layout that PyTorch's optimizer gives it."""
    layouts = []
    for optimizer in BOTH:
        model = sharded_model(mesh)
        stepper = optimizer(model.parameters())
        with ops.use_backend("auto"):
            train(model, stepper, 1)
        layouts.append(
            [
                {
                    name: (type(value), getattr(value, "placements", None))
                    for name, value in s.items()
                }
                for s in stepper.state.values()
            ]
        )
    assert layouts[0] == layouts[1]
    assert layouts[0][0]["exp_avg"] == (DTensor, (Shard(0),))


@pytest.mark.skipif(not ops.isas(), reason="no compiled CPU kernels here")
def test_the_kernel_takes_the_shards(mesh):
    """Under the backend ``cpu`` a step of distributed parameters is no error."""
    model = sharded_model(mesh)
    train(model, FusedAdamW(model.parameters()), 2)


def test_a_mix_of_plain_and_distributed_parameters(mesh):
    """Each row is taken as it is."""
    results = []
    for optimizer in BOTH:
        plain = nn.Parameter(torch.linspace(-1, 1, 6))
        split = nn.Parameter(distribute_tensor(torch.linspace(-1, 1, 8), mesh, [Shard(0)]))
        stepper = optimizer([plain, split], lr=0.1)
        for _ in range(3):
            plain.grad = torch.arange(6.0)
            split.grad = distribute_tensor(torch.arange(8.0), mesh, [Shard(0)])
            stepper.step()
        results.append([plain.detach(), split.full_tensor().detach()])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


def test_tensors_that_are_split_differently_are_left_to_pytorch(mesh):
    """A gradient with other placements is not paired with the parameter's shard."""
    param = nn.Parameter(distribute_tensor(torch.ones(4), mesh, [Shard(0)]))
    grad = distribute_tensor(torch.ones(4), mesh, [Replicate()])
    lists = ([param], [grad], [param], [param], [], [torch.zeros(())])
    assert local_lists(lists)[0][0] is param
    same = local_lists(([param], [param], [param], [param], [], [torch.zeros(())]))
    assert type(same[0][0]) is torch.Tensor


def test_autograd_notices_the_step(mesh):
    """What autograd saved of a distributed parameter is marked as changed, too."""
    param = nn.Parameter(distribute_tensor(torch.ones(4), mesh, [Shard(0)]))
    loss = (param * param).sum()
    loss.backward(retain_graph=True)
    FusedAdamW([param]).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_plain_lists_are_passed_on():
    """Nothing is copied where nothing is distributed."""
    lists = ([torch.ones(1)], [torch.ones(1)], [], [], [], [])
    assert local_lists(lists) is lists
