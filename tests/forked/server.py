"""Imports everything once, and forks a process for each command line that it is asked for.

Usage: python -m tests.forked.server SOCKET PROGRAM. It says ``ready``, and ends with its standard
input. PROGRAM is what its processes find as ``sys.executable``.
"""

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from tests.forked.client import SIZE
from tests.forked.command import Command

# What a training imports while it runs.
MODULES = (
    "dlplug.cli.fit",
    "dlplug.run.verbs",
    "dlplug.config.experiment",
    "sklearn.datasets",
    "matplotlib.figure",
)
# A fork takes no threads along. The allocator of pyarrow, which pandas imports, knows that.
FORK_SAFE = "jemalloc_bg_thd"


@dataclass
class Child:
    """A process that has not ended.

    Args:
        pid: Its number, and that of its group.
        connection: To who has asked for it; None once that is gone.
    """

    pid: int
    connection: socket.socket | None


class Server:
    """Answers the number of each process, and how it ended.

    Args:
        listener: A socket of the address.
        command: Does what a command line says.
    """

    def __init__(self, listener: socket.socket, command: Command):
        self.listener, self.command = listener, command
        self.selector = selectors.DefaultSelector()
        self.selector.register(sys.stdin, selectors.EVENT_READ, self._end)
        self.selector.register(listener, selectors.EVENT_READ, self._start)
        self.children: dict[int, Child] = {}  # by the descriptor of the process

    def serve(self) -> None:
        """Never returns."""
        while True:
            for key, _ in self.selector.select():
                key.data(key.fileobj)

    def _start(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        first, streams, _, _ = socket.recv_fds(connection, SIZE.size, 3)
        size = SIZE.unpack(first)[0] if len(first) == SIZE.size else None
        data = connection.recv(size, socket.MSG_WAITALL) if size else b""
        if len(data) != size:  # who asked is gone before the end of the question
            for stream in streams:
                os.close(stream)
            connection.close()
            return
        if lost := [name for name in threads() if name != FORK_SAFE]:
            raise RuntimeError(f"a forked process would lack the threads {', '.join(lost)}")
        pid = os.fork()
        if not pid:
            for other in list(self.selector.get_map().values()):
                if other.fileobj is not sys.stdin:
                    os.close(other.fd)
            self.selector.close()
            connection.close()
            self.command.run(json.loads(data), streams)
        os.setpgid(pid, pid)  # the process does too; whoever comes first
        for stream in streams:
            os.close(stream)
        _answer(connection, pid)
        handle = os.pidfd_open(pid)
        self.children[handle] = Child(pid, connection)
        self.selector.register(handle, selectors.EVENT_READ, self._tell)
        self.selector.register(connection, selectors.EVENT_READ, self._kill)

    def _tell(self, handle: int) -> None:
        """A process has ended."""
        self.selector.unregister(handle)
        os.close(handle)
        child = self.children.pop(handle)
        code = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
        if child.connection is not None:
            self.selector.unregister(child.connection)
            _answer(child.connection, code)
            child.connection.close()

    def _kill(self, connection: socket.socket) -> None:
        """Who has asked for a process is gone."""
        for child in self.children.values():
            if child.connection is connection:
                self.selector.unregister(connection)
                connection.close()
                child.connection = None
                os.killpg(child.pid, signal.SIGKILL)

    def _end(self, _: object) -> None:
        for child in self.children.values():
            os.killpg(child.pid, signal.SIGKILL)
        os._exit(0)


def _answer(connection: socket.socket, number: int) -> None:
    """Who has asked may be gone; of a process that still runs, `Server._kill` hears so."""
    with contextlib.suppress(OSError):
        connection.sendall(SIZE.pack(number))


def threads() -> list[str]:
    """Names of this process's threads, but for the first one."""
    tasks = Path("/proc/self/task").iterdir()
    return [(t / "comm").read_text().strip() for t in tasks if t.name != str(os.getpid())]


def main(address: str, program: str) -> None:
    """Import, say so, and serve."""
    command = Command(program, len(warnings.filters))
    for name in MODULES:
        importlib.import_module(name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's; pytest ends, and so does this
    gc.collect()
    gc.freeze()  # what is there is shared by all processes until they change it
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        print("ready", flush=True)
        Server(listener, command).serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
