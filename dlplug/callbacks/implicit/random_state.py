"""Save and restore the random states, so that a resumed training draws the same numbers."""

import random
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback


class RandomState(Callback):
    """Continue the random streams of every process where the checkpoint left them.

    Lightning restores weights and optimizers but no random state, so dropout and augmentation
    differ after a resume. A process without a saved state (more processes than before) keeps its
    own.
    """

    def __init__(self):
        self._loaded: list[dict[str, Any]] | None = None

    def state_dict(self) -> dict[str, Any]:
        """The states of all processes, by rank; called on all of them at once."""
        states = [capture()]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            gathered = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(gathered, states[0])
            states = gathered
        return {"ranks": states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the states until the training starts: setting it up draws numbers too."""
        self._loaded = state_dict["ranks"]

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Set the states just before the first batch."""
        if self._loaded is not None and trainer.global_rank < len(self._loaded):
            restore(self._loaded[trainer.global_rank])
        self._loaded = None


def capture() -> dict[str, Any]:
    """The global random states of Python, numpy and torch as plain data and tensors."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (kind, keys.tolist(), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore(state: dict[str, Any]) -> None:
    """Set the global random states that `capture` returned."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(state["torch"].cpu())
    for device, cuda_state in enumerate(state["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(cuda_state.cpu(), device)
