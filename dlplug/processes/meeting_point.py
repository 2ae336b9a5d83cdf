"""Where the processes of a training reach the first one."""

import socket
import sys

import lightning

# Seconds in which to reach it; it listens already.
CONNECT = 30.0


def host_of_first(trainer: lightning.Trainer) -> str:
    """Name or address of its machine; on a single machine nobody else should reach it."""
    is_alone = trainer.num_nodes == 1
    return "127.0.0.1" if is_alone else trainer.strategy.cluster_environment.main_address


def listen(trainer: lightning.Trainer) -> socket.socket:
    """In the first process: a free port for the others."""
    if trainer.num_nodes == 1:
        return socket.create_server((host_of_first(trainer), 0), backlog=trainer.world_size)
    is_dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if is_dual else socket.AF_INET
    return socket.create_server(
        ("", 0), family=family, backlog=trainer.world_size, dualstack_ipv6=is_dual
    )


def connect(address: tuple[str, int]) -> socket.socket | None:
    """In the others; None, and a line on standard error, when the first one cannot be reached."""
    try:
        return socket.create_connection(address, CONNECT)
    except OSError as error:
        print(
            f"heartbeat: the first process cannot be reached at {address[0]}:{address[1]}"
            f" ({error}); the training goes on, and this process is not watched",
            file=sys.stderr,
        )
        return None
