"""States that networks carry from batch to batch, in checkpoints: a resumed epoch needs them.

A network that carries one has ``reset_state()``; where it also has ``training_state()`` and
``set_training_state(state)``, the state is saved. It is no part of the weights, which load into a
model of any batch size.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import lightning
import torch
from torch import nn

KEY = "carried_states"


class CarriedStates(lightning.LightningModule):
    """Where the states are reset, saved and restored in a training."""

    def reset_states(self) -> None:
        """Let every network that carries a state from batch to batch start anew.

        Those are the modules with a ``reset_state()``, which forgets the state of the present
        mode, training or evaluation.
        """
        for module in self.modules():
            if hasattr(module, "reset_state"):
                module.reset_state()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the states that the next training batch goes on from."""
        states = carried_states(self)
        if states is not None:
            checkpoint[KEY] = states

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from the saved states; an epoch that starts anew resets them."""
        if KEY in checkpoint and self._trainer is not None:
            rank, processes = self.trainer.global_rank, self.trainer.world_size
            restore_states(self, checkpoint[KEY], rank, processes)

    def on_train_epoch_start(self) -> None:
        """The first batch of an epoch follows none."""
        self.reset_states()

    def on_validation_epoch_start(self) -> None:
        """As `on_train_epoch_start`."""
        self.reset_states()

    def on_test_epoch_start(self) -> None:
        """As `on_train_epoch_start`."""
        self.reset_states()

    def on_predict_batch_start(self, *_: Any) -> None:
        """Predictions are of records by themselves: no batch of them follows another."""
        self.reset_states()


def carried_states(model: nn.Module) -> list[dict[str, Any]] | None:
    """The states of all processes by rank, each by the name of its module.

    Called in all processes at once.

    Returns:
        Tensors and tuples of them, on the devices where they are; None where no module has any.
    """
    keepers = [(name, m) for name, m in model.named_modules() if hasattr(m, "training_state")]
    if not keepers:
        return None
    states = {name: module.training_state() for name, module in keepers}
    states = {name: state for name, state in states.items() if state is not None}
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [states]
    gathered: list[dict[str, Any] | None] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(gathered, states)
    return gathered


def restore_states(
    model: nn.Module, saved: Sequence[Mapping[str, Any]], rank: int, world_size: int
) -> None:
    """Give each module of this process its state back.

    Of another number of processes nothing is taken: their batches are of other texts.

    Args:
        model: As saved.
        saved: From `carried_states`.
        rank: Of this process.
        world_size: Number of processes.
    """
    if len(saved) != world_size:
        return
    for name, module in model.named_modules():
        if name in saved[rank] and hasattr(module, "set_training_state"):
            module.set_training_state(saved[rank][name])
