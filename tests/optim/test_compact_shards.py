"""CompactAdamW on distributed parameters, in one process; test_gradient_norm.py has two."""

import pytest
import torch
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor

from dlplug.errors import InvalidValueError
from dlplug.ops.fallback.compact_adamw import STORAGES
from dlplug.optim import CompactAdamW
from tests.optim.test_compact_adamw import model, train


def sharded(mesh):
    network = model()
    for part in (network[0], network[2], network):
        fully_shard(part, mesh=mesh)
    return network


@pytest.mark.parametrize("storage", [storage for storage in STORAGES if storage != "8bit"])
def test_shards_are_updated_as_the_whole(storage, mesh):
    """A sharded model takes the steps of one that is not."""
    network, whole = sharded(mesh), model()
    for one in (network, whole):
        train(one, CompactAdamW(one.parameters(), lr=3e-3, storage=storage), 3)
    for ours, theirs in zip(network.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours.full_tensor(), theirs)


def test_blocks_of_8_bits_need_the_whole_parameter(mesh):
    """Shards are refused; what each process has all of is updated by each."""
    network = sharded(mesh)
    with pytest.raises(InvalidValueError, match="this one is sharded"):
        train(network, CompactAdamW(network.parameters(), storage="8bit"), 1)
    plain = nn.Parameter(torch.linspace(-1, 1, 300))
    replica = nn.Parameter(distribute_tensor(plain.detach().clone(), mesh, [Replicate()]))
    for param in (plain, replica):
        optimizer = CompactAdamW([param], storage="8bit")
        for _ in range(2):
            param.grad = param.detach().cos()
            optimizer.step()
    assert torch.equal(replica.to_local(), plain)


@pytest.mark.parametrize("split", [Replicate(), Shard(0)], ids=str)
def test_gradients_are_split_as_their_parameters(split, mesh):
    """And kept so, for the norm and for what a scaler divides."""
    param = nn.Parameter(distribute_tensor(torch.ones(8), mesh, [split]))
    param.grad = DTensor.from_local(torch.ones(8), mesh, [Partial()], run_check=False)
    CompactAdamW([param], storage="float32_states", max_grad_norm=0.5).step()
    assert param.grad.placements == param.placements


def test_autograd_notices_the_step(mesh):
    """What autograd saved of a distributed parameter is marked as changed, too."""
    param = nn.Parameter(distribute_tensor(torch.ones(4), mesh, [Shard(0)]))
    loss = (param * param).sum()
    loss.backward(retain_graph=True)
    CompactAdamW([param], storage="float32_states").step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
