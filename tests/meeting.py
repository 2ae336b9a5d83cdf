"""Where the processes of a test meet."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch.distributed import TCPStore


@contextmanager
def meeting(ranks: int) -> Iterator[dict[str, str]]:
    """What torchrun tells its processes, but for their numbers: `own` tells those.

    As under torchrun the store is there before they are, at a port that the system gave it: a free
    port that is looked for and named to them may be another's when the first of them opens it.

    Args:
        ranks: Number of processes, all on this machine.
    """
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    yield {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RUN_ID": "1",
        "GROUP_RANK": "0",
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
    }
    del store


def own(rank: int) -> dict[str, str]:
    """The number of a process."""
    return {"RANK": str(rank), "LOCAL_RANK": str(rank)}
