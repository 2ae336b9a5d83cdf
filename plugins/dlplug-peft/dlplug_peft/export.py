"""A merged checkpoint of an experiment: weights and record, as a training would have written."""

from pathlib import Path

import torch

from dlplug.config.experiment import Experiment
from dlplug.errors import ConfigError
from dlplug.run.evaluation import task_of
from dlplug.run.parts import record_of
from dlplug.storage.checkpoint import read_checkpoint
from dlplug.storage.files import write_file
from dlplug.tasks.checkpoint import KEY
from dlplug_peft.merging import merge, merged_record

WHOLE = ("epoch", "global_step", "pytorch-lightning_version")


def write_merged(experiment: Experiment, checkpoint: Path, output: Path) -> int:
    """Write the merged weights of a checkpoint.

    Args:
        experiment: Of the run, whose architecture is `peft`.
        checkpoint: Whose weights; of ``ema`` and ``swa`` these are the averages.
        output: The file; its folder exists.
    Returns:
        Number of tensors of the architecture.
    Raises:
        ConfigError: the architecture is another one, or the folder does not exist.
        CheckpointError: the checkpoint is damaged, or does not fit.
    """
    parts = experiment.parts["architecture"]
    if parts.component.distribution != "dlplug-peft":
        raise ConfigError(
            f"merge: the architecture of the run is {parts.name}, which has no adapters",
            known="architecture peft",
        )
    if not output.parent.is_dir():
        raise ConfigError(f"merge: the folder {output.parent} does not exist")
    task = task_of(experiment, checkpoint)
    saved = read_checkpoint(checkpoint)
    task.load_state_dict(saved["state_dict"])
    merge(task.architecture)
    # No optimizer: its states are of the adapters, and a training goes on from the run itself.
    content = {name: saved[name] for name in WHOLE if name in saved}
    # The checkpoint's own record knows the records that it was trained on.
    record = merged_record({**saved.get(KEY, {}), **record_of(experiment)})
    content |= {"state_dict": task.state_dict(), KEY: record}
    write_file(output, lambda file: torch.save(content, file))
    return len(task.architecture.state_dict())
