"""Asks the fork server for a process, and stands for it.

Imports the standard library only: the program `main` runs without site-packages, to be quick.
"""

import contextlib
import json
import os
import resource
import select
import signal
import socket
import struct

PASSED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
PASSED += (signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT)
SIZE = struct.Struct("!q")


class Forked:
    """A process of the server's; it is killed, its group included, when this is closed before."""

    def __init__(self, connection: socket.socket):
        self.connection = connection
        self.pid = self._number()

    def wait(self, timeout: float | None = None) -> int | None:
        """Its exit code, or minus the signal; None while it runs.

        Args:
            timeout: Seconds to wait for its end; None for ever.
        """
        if not select.select([self.connection], [], [], timeout)[0]:
            return None
        code = self._number()
        self.connection.close()
        return code

    def _number(self) -> int:
        data = self.connection.recv(SIZE.size, socket.MSG_WAITALL)
        if len(data) < SIZE.size:
            raise RuntimeError("the fork server has ended")
        return SIZE.unpack(data)[0]


def ignored() -> list[int]:
    """Signals that this process ignores, as one in the background of a shell: its children too."""
    return [int(n) for n in PASSED if signal.getsignal(n) is signal.SIG_IGN]


def request(address, words, folder, environment, streams, not_heard) -> Forked:
    """See `tests.forked.start`; ``not_heard`` are the signals that the process ignores."""
    asked = {"words": list(words), "folder": str(folder), "environment": dict(environment)}
    asked |= {"ignored": not_heard}
    data = json.dumps(asked).encode()
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    socket.send_fds(connection, [SIZE.pack(len(data))], streams)
    connection.sendall(data)
    return Forked(connection)


def main(interpreter: str, address: str, *words: str) -> None:
    """Do as Python does with these words: pass signals on, and end as the process ends.

    What ``-c`` gives is run by the real interpreter: so tests ask what is imported, and
    multiprocessing starts its processes.
    """
    if _is_code(words):
        os.execv(interpreter, [interpreter, *words])
    not_heard = ignored()
    early = []  # signals that come before there is a process
    for number in PASSED:
        signal.signal(number, lambda number, _: early.append(number))
    forked = request(address, words, os.getcwd(), os.environ, (0, 1, 2), not_heard)
    for number in PASSED:
        signal.signal(number, lambda number, _: _pass(forked.pid, number))
    for number in early:
        _pass(forked.pid, number)
    code = forked.wait()
    if code >= 0:
        os._exit(code)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core of this program tells nothing
    if -code not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)


def _pass(pid: int, number: int) -> None:
    """Send a signal on; the process may have ended, and its exit code be under way."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _is_code(words) -> bool:
    """Whether ``-c`` stands among the interpreter's own options."""
    rest = iter(words)
    for word in rest:
        if word == "-c":
            return True
        if not word.startswith("-") or word == "-m":
            return False
        if word in ("-W", "-X"):
            next(rest, None)
    return True  # nothing to run: an interactive one
