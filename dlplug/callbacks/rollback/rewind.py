"""Put a training's weights and optimizer back where a checkpoint has them, and nothing else."""

from collections.abc import Mapping
from typing import Any

import lightning

from dlplug.callbacks.network.weight_average import WeightAverage


def rewind(
    trainer: lightning.Trainer, pl_module: lightning.LightningModule, content: Mapping[str, Any]
) -> None:
    """Take weights, averages of them and the optimizers' state from a checkpoint of this training.

    Everything else goes on: the loader, the schedule with its learning rates, random numbers, the
    scale of float16's gradients (which fits itself to them), counts of other callbacks. To be
    called between two optimizer steps.

    Args:
        trainer: Of a training that does not shard its weights.
        pl_module: Its task.
        content: The checkpoint.
    """
    pl_module.load_state_dict(content["state_dict"])
    for callback in trainer.callbacks:
        if isinstance(callback, WeightAverage):
            # As after a resume: the checkpoint's weights are the average, which began or did not.
            callback.average = None
            if callback.state_key in content["callbacks"]:
                callback.load_state_dict(content["callbacks"][callback.state_key])
            callback.on_load_checkpoint(trainer, pl_module, dict(content))
            callback.on_train_start(trainer, pl_module)
    for optimizer, state in zip(trainer.optimizers, content["optimizer_states"], strict=True):
        schedule = [
            {name: value for name, value in group.items() if name != "params"}
            for group in optimizer.param_groups
        ]
        optimizer.load_state_dict(state)
        for group, values in zip(optimizer.param_groups, schedule, strict=True):
            group.update(values)
    if hasattr(pl_module, "reset_states"):
        pl_module.reset_states()  # what a recurrent network carries on comes from the skipped data
