"""Small checkpoints with a number in them, for faults in saving."""

from pathlib import Path

import torch

from dlplug.run.checkpoint_io import DurableCheckpointIO
from dlplug.storage.checkpoint import LAST, PREVIOUS, newest_intact, read_checkpoint
from dlplug.storage.saver import Saver


def save(
    folder: Path, number: int, name: str = LAST, size: int = 100, saver: Saver | None = None
) -> Path:
    """Save a checkpoint of about ``4 * size`` bytes; returns its path.

    A ``saver`` writes it in the background: nothing is waited for.
    """
    content = {"state_dict": {"w": torch.full((size,), float(number))}, "n": number}
    DurableCheckpointIO(saver).save_checkpoint(content, folder / name)
    return folder / name


def resumable(folder: Path) -> int | None:
    """The number in the checkpoint from which a training in this folder would go on."""
    found = newest_intact([folder / LAST, folder / PREVIOUS])
    return None if found is None else read_checkpoint(found)["n"]


def litter(folder: Path) -> list[Path]:
    """Temporary files, which only a killed process may leave."""
    return list(folder.glob(".*"))
