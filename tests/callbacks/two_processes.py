"""Two processes on the CPU that train together by DDP."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import torch

PAIR = {"devices": 2, "strategy": "ddp"}
"""Arguments of the Trainer in each of them."""


def in_two_processes(job: Callable[[Path], dict], folder: Path) -> list[dict]:
    """Let each of two processes do ``job(folder)``; gives both answers, tensors and plain data."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    torch.multiprocessing.spawn(_be_one_of_two, (port, job, folder), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def _be_one_of_two(rank: int, port: int, job: Callable[[Path], dict], folder: Path) -> None:
    # As torchrun does it: Lightning then starts no processes of its own.
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GROUP_RANK": "0"}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "TORCHELASTIC_RUN_ID": "1"}
    os.environ |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    answer = job(folder)
    torch.save(answer, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()
