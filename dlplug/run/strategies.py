"""Lightning strategies under short names, fitted to run folders."""

from typing import Any

from lightning.pytorch.strategies import ModelParallelStrategy

from dlplug.errors import InvalidValueError

FSDP2 = "fsdp2"


class FullyShardedStrategy(ModelParallelStrategy):
    """FSDP2 over all devices, saving one complete checkpoint file.

    Lightning's own defaults are tensor parallelism within a node and a folder of shards.
    """

    def __init__(self, **arguments: Any):
        super().__init__(save_distributed_checkpoint=False, **arguments)

    def setup_environment(self) -> None:
        """Give every process a share of the data, however many there are."""
        self._data_parallel_size = self.num_processes * self.num_nodes
        self._tensor_parallel_size = 1
        super().setup_environment()


def strategy_of(strategy: Any) -> Any:
    """What the Trainer is given for ``trainer.strategy``.

    Raises:
        InvalidValueError: a strategy whose checkpoints are folders of shards.
    """
    if strategy == FSDP2:
        return FullyShardedStrategy()
    if isinstance(strategy, ModelParallelStrategy) and strategy._save_distributed_checkpoint:
        raise InvalidValueError(
            "trainer.strategy: ModelParallelStrategy would save a folder of shards instead of one"
            " file",
            fix=f"set save_distributed_checkpoint to false, or use strategy {FSDP2!r}",
        )
    return strategy
