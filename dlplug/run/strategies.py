"""Lightning strategies under short names, fitted to run folders."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import ModelParallelStrategy, Strategy
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from dlplug.errors import InvalidValueError
from dlplug.run.placement import placed
from dlplug.run.sharded_saving import save_sharded
from dlplug.storage.checkpoint import open_checkpoint
from dlplug.storage.pieces import replaced

FSDP2 = "fsdp2"
FSDP2_SHARDED = "fsdp2_sharded"


class FullyShardedStrategy(ModelParallelStrategy):
    """FSDP2 over all devices, saving one complete checkpoint file.

    Lightning's own defaults are tensor parallelism within a node and a folder of shards. It loads
    optimizer states by the order of the model's parameters; here it is that of the optimizer, as in
    a file of one process. Each process reads its own elements, from a file or a folder of shards.
    """

    def __init__(self, **arguments: Any):
        super().__init__(**{"save_distributed_checkpoint": False, **arguments})

    def setup_environment(self) -> None:
        """Give every process a share of the data, however many there are."""
        self._data_parallel_size = self.num_processes * self.num_nodes
        self._tensor_parallel_size = 1
        super().setup_environment()

    @property
    def lightning_restore_optimizer(self) -> bool:
        """The optimizers' states come with the checkpoint."""
        return True

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """An optimizer's state, gathered in the first process; empty in the others."""
        is_first = self.is_global_zero

        def whole(_: tuple, value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            value = value.full_tensor() if isinstance(value, DTensor) else value
            return value.cpu() if is_first else None  # so that the others hold one at a time

        state = replaced(_state_of(optimizer), whole)
        return state if is_first else {}

    def load_checkpoint(
        self, checkpoint_path: Any, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """A checkpoint's content, its tensors sharded as this training's are; runs no code.

        Raises:
            CheckpointError: it is damaged or holds objects.
        """
        path = Path(self.broadcast(checkpoint_path))
        self.checkpoint_io.settle()
        return placed(open_checkpoint(path), self.lightning_module, self.optimizers)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Copy the weights, which are sharded already."""
        Strategy.load_model_state_dict(self, checkpoint, strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Take the optimizers' states, which are sharded already."""
        Strategy.load_optimizer_state_dict(self, checkpoint)


class ShardSavingStrategy(FullyShardedStrategy):
    """FSDP2 over all devices, each process saving what it holds into one folder.

    No process ever has the whole of the weights or of the optimizer's state; another number of
    processes can go on. The training waits for the saving.
    """

    def __init__(self, **arguments: Any):
        super().__init__(save_distributed_checkpoint=True, **arguments)

    def setup(self, trainer: Any) -> None:
        """Set up, if there is no save that could be tried again in the background.

        Raises:
            InvalidValueError: there is.
        """
        if getattr(trainer.checkpoint_callback, "on_storage_error", "stop") == "continue":
            raise InvalidValueError(
                f"checkpoint: on_storage_error = 'continue', but with strategy {FSDP2_SHARDED} the"
                " training waits for each save, and a failure ends it",
                fix=f"set it to 'stop', or trainer.strategy to {FSDP2}",
            )
        super().setup(trainer)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """An optimizer's state as this process has it."""
        return _state_of(optimizer)

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options=None):
        """Write the folder; all processes at once.

        Raises:
            CheckpointError: the checkpoint holds an object; names who put it there.
            StorageError: it cannot be written.
        """
        if storage_options is not None:
            raise TypeError("storage_options belong to remote storage; this writes local files")
        save_sharded(checkpoint, Path(self.broadcast(filepath)))


def strategy_of(strategy: Any) -> Any:
    """What the Trainer is given for ``trainer.strategy``.

    Raises:
        InvalidValueError: a strategy whose checkpoints are folders of another form.
    """
    if strategy == FSDP2:
        return FullyShardedStrategy()
    if strategy == FSDP2_SHARDED:
        return ShardSavingStrategy()
    is_ours = isinstance(strategy, ShardSavingStrategy)
    is_parallel = isinstance(strategy, ModelParallelStrategy) and not is_ours
    if is_parallel and strategy._save_distributed_checkpoint:
        raise InvalidValueError(
            "trainer.strategy: ModelParallelStrategy would save a folder of shards with pickled"
            " objects in it",
            fix=f"use strategy {FSDP2_SHARDED!r}, or {FSDP2!r} for one file",
        )
    return strategy


def _state_of(optimizer: Optimizer) -> dict[str, Any]:
    """Its state, the parameters numbered in the order of its groups."""
    is_wrapped = isinstance(optimizer, LightningOptimizer)
    return (optimizer.optimizer if is_wrapped else optimizer).state_dict()
