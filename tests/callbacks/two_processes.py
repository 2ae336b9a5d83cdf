"""Two processes on the CPU that train together by DDP."""

import os
from collections.abc import Callable
from pathlib import Path

import torch

from tests.meeting import meeting, own

PAIR = {"devices": 2, "strategy": "ddp"}
"""Arguments of the Trainer in each of them."""


def in_two_processes(job: Callable[[Path], dict], folder: Path) -> list[dict]:
    """Let each of two processes do ``job(folder)``; gives both answers, tensors and plain data."""
    with meeting(2) as place:
        torch.multiprocessing.spawn(_be_one_of_two, (place, job, folder), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def _be_one_of_two(
    rank: int, place: dict[str, str], job: Callable[[Path], dict], folder: Path
) -> None:
    # As torchrun does it: Lightning then starts no processes of its own.
    os.environ |= place | own(rank)
    answer = job(folder)
    torch.save(answer, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()
