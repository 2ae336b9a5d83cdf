"""CompactAdamW on distributed parameters, in one process; test_gradient_norm.py has two."""

import pytest
import torch
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor

from dlplug.errors import CheckpointError, InvalidValueError
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


def plainly_stepped(param):
    """The state of torch.optim.AdamW after a step."""
    optimizer = torch.optim.AdamW([param])
    param.grad = param.detach().cos()
    optimizer.step()
    return optimizer.state_dict()


def pair(mesh, split):
    """A whole parameter in bfloat16, and the same one distributed."""
    torch.manual_seed(0)
    whole = nn.Parameter(torch.randn(20, 30).bfloat16())
    return whole, nn.Parameter(distribute_tensor(whole.detach().clone(), mesh, [split]))


SPLITS = [(s, split) for s in STORAGES for split in (Replicate(), Shard(0), Shard(1))]
SPLITS = [
    (storage, split) for storage, split in SPLITS if storage != "8bit" or split.is_replicate()
]


@pytest.mark.parametrize(("storage", "split"), SPLITS, ids=str)
def test_a_plain_state_is_taken_over_and_given_back(storage, split, mesh):
    """By each part as by the whole, to the last bit, and the next step too."""
    found = []
    for param in pair(mesh, split):
        optimizer = CompactAdamW([param], storage=storage)
        optimizer.load_state_dict(plainly_stepped(param))
        param.grad = param.detach().sin()
        optimizer.step()
        values, plain = optimizer.float32_values(param), torch.optim.AdamW([param])
        plain.load_state_dict(optimizer.plain_state_dict())
        found.append([param.detach(), *values.values(), *plain.state[param].values()])
    step_of_plain = 4
    for i, (ours, theirs) in enumerate(zip(*found, strict=True)):
        if i != step_of_plain:
            assert theirs.placements == (split,)
            theirs = theirs.full_tensor()
        assert torch.equal(ours, theirs)


def test_blocks_of_8_bits_take_no_plain_state_of_shards(mesh):
    """Nor give one; nothing is loaded."""
    _, param = pair(mesh, Shard(0))
    optimizer = CompactAdamW([param], storage="8bit")
    with pytest.raises(InvalidValueError, match="this one is sharded"):
        optimizer.load_state_dict(plainly_stepped(param))
    assert not optimizer.state
    with pytest.raises(InvalidValueError, match="this one is sharded"):
        optimizer.float32_values(param)


def test_a_state_of_whole_tensors_is_none_of_shards(mesh):
    """Nor the other way round; nothing is loaded."""
    whole, shards = pair(mesh, Shard(0))
    for param, other, words in (
        (whole, shards, "exp_avg that is distributed, for a parameter that lies whole"),
        (shards, whole, "exp_avg that lies whole on a process, for a parameter that is distrib"),
    ):
        optimizer = CompactAdamW([param], storage="kahan")
        with pytest.raises(CheckpointError, match=words):
            optimizer.load_state_dict(plainly_stepped(other))
        assert not optimizer.state


def test_a_state_that_is_split_otherwise_is_split_anew(mesh):
    """As the parameter is."""
    (_, param), (_, other) = pair(mesh, Shard(1)), pair(mesh, Replicate())
    optimizer = CompactAdamW([param], storage="kahan")
    optimizer.load_state_dict(plainly_stepped(other))
    assert optimizer.state[param]["exp_avg"].placements == (Shard(1),)


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


@pytest.mark.parametrize("max_grad_norm", [0.5, 1e9])
def test_one_norm_of_whole_and_distributed_parameters(max_grad_norm, mesh):
    """Clipped together, as PyTorch does with the same values in plain tensors."""
    values = [torch.linspace(-1, 1, 12).reshape(4, 3), torch.linspace(1, 2, 5)]
    found = []
    for is_split in (False, True):
        first, second = (value.clone() for value in values)
        first = distribute_tensor(first, mesh, [Shard(0)]) if is_split else first
        params = [nn.Parameter(first), nn.Parameter(second)]
        for param in params:
            param.grad = param.detach() * 3
        optimizer = CompactAdamW(
            params, lr=0.1, eps=1.0, storage="float32_states", max_grad_norm=max_grad_norm
        )
        optimizer.step()
        found.append([params[0].full_tensor() if is_split else params[0], params[1]])
    for whole, split in zip(*found, strict=True):
        assert torch.equal(whole, split)
