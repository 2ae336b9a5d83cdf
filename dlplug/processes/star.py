"""Connections of all processes with the first one, on which each tells of itself."""

import hmac
import json
import secrets
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from dlplug.processes.watch import Lost, Peer, Watch

# Seconds for the thread to leave.
GOODBYE = 5.0
# Of a message that is not complete; more is nobody of this training.
LONGEST = 1 << 16


class Star(threading.Thread):
    """Tell where this process is, and find out which other one is lost.

    The kernel closes the connections of a process that dies, however it dies: the first process
    knows at once, and tells the others. The others know in the same way when the first one dies.

    Messages are JSON, one a line: ``hello`` (with the secret of this training), ``count`` with
    ``place`` and ``waits``, ``failed``, ``lost`` and ``bye``.

    Args:
        own: This process.
        watch: Judges the others.
        progress: Gives the count of places, the name of the place where the main thread is, and
            whether it waits there for other processes.
        on_lost: Called once, in this thread, with who is lost.
        interval: Seconds between two messages.
        secret: Equal in all processes of the training.
        server: Listens, in the first process; None in the others.
        first: The first process and the connection to it; None in the first process.
    """

    def __init__(
        self,
        own: Peer,
        watch: Watch,
        progress: Callable[[], tuple[int, str, bool]],
        on_lost: Callable[[Lost], None],
        interval: float,
        secret: str,
        server: socket.socket | None = None,
        first: tuple[Peer, socket.socket] | None = None,
    ):
        super().__init__(daemon=True, name="heartbeat")
        self.own = own
        self.watch = watch
        self.progress = progress
        self.on_lost = on_lost
        self.interval = interval
        self.secret = secret
        self.server = server
        self._lines: dict[socket.socket, _Line] = {}
        self._selector = selectors.DefaultSelector()
        self._is_closed = threading.Event()
        self._lost: Lost | None = None
        self._farewell: dict[str, Any] = {"bye": True}
        self._waker, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        if server is not None:
            server.setblocking(False)
            self._selector.register(server, selectors.EVENT_READ)
        if first is not None:
            peer, connection = first
            self._add(connection).peer = peer
            watch.note(peer, -1, "its start")
            self._send({"hello": asdict(own), "secret": secret})

    def run(self) -> None:
        """Listen and tell until somebody is lost or this process leaves."""
        last = time.monotonic()
        while not self._is_closed.is_set() and self._lost is None:
            for key, _ in self._selector.select(self.interval):
                if self._lost is None and not self._is_closed.is_set():
                    self._listen(key.fileobj)
            passed = time.monotonic() - last
            if passed < self.interval or self._lost is not None:
                continue
            last += passed
            count, place, waits = self.progress()
            self._send({"count": count, "place": place, "waits": waits})
            self.watch.note(self.own, count, place, waits)
            # Of a longer pause this process was itself stopped for the rest.
            self._lose(self.watch.tick(min(passed, 3 * self.interval)))
        if self._lost is None:
            self._send(self._farewell)
        elif not self._is_closed.is_set():
            self.on_lost(self._lost)
        ends = [self._waker, self._woken, *([self.server] if self.server else [])]
        for connection in [*self._lines, *ends]:
            connection.close()
        self._selector.close()

    def fail(self, text: str) -> None:
        """Leave, and tell the others that this process ends with an error."""
        self._farewell = {"failed": text}
        self.close()

    def close(self) -> None:
        """Leave in good order; may be called twice."""
        self._is_closed.set()
        # The thread says goodbye: of the answers to it, nobody must hear as of deaths.
        with suppress(OSError):
            self._waker.send(b"!")
        if threading.current_thread() is not self:
            self.join(GOODBYE)

    def _listen(self, connection: socket.socket) -> None:
        if connection is self.server:
            with suppress(OSError):  # it is gone already
                self._add(connection.accept()[0])
            return
        line = self._lines[connection]
        messages = line.read()
        for message in messages or ():
            try:
                self._hear(line, message)
            except (KeyError, TypeError, ValueError):  # no process of this training says that
                messages = None
            # After a farewell, or a stranger's first word, there is nobody to hear.
            if messages is None or connection not in self._lines:
                break
        if messages is None and connection in self._lines:
            self._drop(line)
            if line.peer is not None:
                self._lose(Lost(line.peer, "ended without a word, as when it is killed"))

    def _hear(self, line: "_Line", message: dict[str, Any]) -> None:
        if line.peer is None:
            if hmac.compare_digest(str(message.get("secret")).encode(), self.secret.encode()):
                line.peer = Peer(**message["hello"])
                self.watch.note(line.peer, -1, "its start")
            else:  # somebody else on the network
                self._drop(line)
        elif "count" in message:
            self.watch.note(line.peer, message["count"], message["place"], message["waits"])
        elif "failed" in message:
            self._lose(Lost(line.peer, f"failed: {message['failed']}"))
        elif "lost" in message:
            self._lose(Lost.from_dict(message["lost"]))
        elif "bye" in message:
            self.watch.forget(line.peer)
            self._drop(line)

    def _lose(self, lost: Lost | None) -> None:
        if lost is None or self._lost is not None:
            return
        self._lost = lost
        if self.server is not None:
            self._send({"lost": lost.to_dict()})

    def _add(self, connection: socket.socket) -> "_Line":
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(connection, selectors.EVENT_READ)
        line = self._lines[connection] = _Line(connection)
        return line

    def _drop(self, line: "_Line") -> None:
        self._selector.unregister(line.connection)
        del self._lines[line.connection]
        line.connection.close()

    def _send(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode() + b"\n"
        for connection in list(self._lines):
            # Reading will tell; a full buffer belongs to a process that is stopped.
            with suppress(OSError):
                connection.send(data)


class _Line:
    """One connection, whose other end is known after its hello."""

    def __init__(self, connection: socket.socket):
        self.connection = connection
        self.peer: Peer | None = None
        self._rest = b""

    def read(self) -> list[dict[str, Any]] | None:
        """The messages that have come; None when the other end is gone."""
        try:
            data = self.connection.recv(LONGEST)
        except BlockingIOError:
            return []
        except OSError:
            return None
        *whole, self._rest = (self._rest + data).split(b"\n")
        try:
            messages = [json.loads(text) for text in whole]
        except (ValueError, RecursionError):
            return None
        is_sound = data and len(self._rest) <= LONGEST
        return messages if is_sound and all(isinstance(m, dict) for m in messages) else None


def new_secret() -> str:
    """Which nobody can guess."""
    return secrets.token_hex(16)
