"""Let a training that torchrun starts again find its own processes."""

import os
from collections.abc import Iterator

from torch.distributed import PrefixStore, Store
from torch.distributed.rendezvous import _rendezvous_handlers as handlers

# What torchrun says: how often it started anew, and how many machines take part.
RESTARTS, MACHINES = "TORCHELASTIC_RESTART_COUNT", "GROUP_WORLD_SIZE"


def separate_restarts() -> None:
    """Give each start by torchrun its own part of the store in which the processes meet.

    Without ``--standalone`` or ``--rdzv-backend c10d``, torchrun of torch 2.13 keeps the store of
    the start before: under gloo a process finds the address of one that is dead, and about every
    second restart fails or waits for half an hour. PyTorch's own prefix for each start went with
    pytorch#135957, which makes a new store instead, but not for torchrun's default rendezvous. On
    several machines, which may count their restarts differently, nothing is changed.
    """
    attempt = os.environ.get(RESTARTS, "0")
    meet = handlers["env"]
    if attempt == "0" or os.environ.get(MACHINES) != "1" or meet.__module__ == __name__:
        return

    def meet_in_this_start(url: str, **options) -> Iterator[tuple[Store, int, int]]:
        for store, rank, world_size in meet(url, **options):
            yield PrefixStore(f"start_{attempt}", store), rank, world_size

    handlers["env"] = meet_in_this_start
