"""Fully sharded data parallelism (FSDP2) of any architecture."""

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from dlplug.errors import InvalidValueError


def shard(module: nn.Module, mesh: DeviceMesh) -> None:
    """Shard a module's parameters over the processes, each block on its own.

    The elements of every `nn.ModuleList` are the blocks: while one computes, the next one's
    parameters are gathered. Sharding again changes nothing.

    Args:
        module: Changed in place; its parameters become DTensors.
        mesh: Lightning's mesh, with the dimensions ``data_parallel`` and ``tensor_parallel``.
    Raises:
        InvalidValueError: tensor parallelism was asked for, which needs a plan per architecture.
    """
    if mesh["tensor_parallel"].size() > 1:
        raise InvalidValueError(
            f"trainer.strategy: tensor_parallel_size = {mesh['tensor_parallel'].size()}",
            known="1: parameters are sharded over the data-parallel processes",
            fix="set data_parallel_size to the number of devices and tensor_parallel_size to 1",
        )
    if isinstance(module, FSDPModule):
        return
    # From the inside out, as fully_shard wants: a block claims its parameters before its parent.
    for part in reversed(list(module.modules())):
        for block in part if isinstance(part, nn.ModuleList) else ():
            fully_shard(block, mesh=mesh["data_parallel"])
    fully_shard(module, mesh=mesh["data_parallel"])
