"""Who of several processes has died, or keeps the others waiting."""

import os
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from dlplug.errors import ProcessLostError


@dataclass(frozen=True)
class Peer:
    """One process of a training.

    Args:
        rank: Its number, from 0.
        world_size: How many there are.
        host: Name of its machine.
        pid: Its number there.
        started: When it started, in the kernel's ticks: a number is given again to others.
    """

    rank: int
    world_size: int
    host: str
    pid: int
    started: int

    @classmethod
    def here(cls, rank: int, world_size: int) -> "Peer":
        """This process."""
        pid = os.getpid()
        return cls(rank, world_size, socket.gethostname(), pid, _started(pid))

    def kill(self) -> None:
        """End it with SIGKILL, which ends a stopped process too, if it is on this machine."""
        if self.host == socket.gethostname() and _started(self.pid) == self.started:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGKILL)

    def __str__(self) -> str:
        return f"process {self.rank} of {self.world_size} (host {self.host}, pid {self.pid})"


@dataclass(frozen=True)
class Lost:
    """A process without which the others cannot go on.

    Args:
        peer: Which one.
        reason: What it did, such as ``ended without a word``.
        is_silent: It does nothing at all any more, and would not end by itself.
    """

    peer: Peer
    reason: str
    is_silent: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Lost":
        """What `to_dict` made."""
        return cls(Peer(**data["peer"]), data["reason"], data["is_silent"])

    def error(self, noticed_by: Peer) -> ProcessLostError:
        """For the user."""
        return ProcessLostError(
            f"{self.peer} {self.reason}",
            where=f"noticed by {noticed_by}",
            fix="look at that process's own output, and for lack of memory in the kernel's log;"
            " then go on from the last checkpoint: fit --resume auto",
        )


class Watch:
    """Judge from what the processes tell of themselves.

    Two bounds, since a process tells of itself from a thread of its own: one that says nothing has
    stopped as a whole. One that speaks but does not go on may be busy; it hangs when nobody goes
    on and the others wait for it: they have come further, or are in a collective which it has not
    reached. While all are in the same place and none waits, as in a first step that compiles,
    nobody is judged.

    Args:
        silence: Seconds without a word after which a process counts as lost.
        stall: Seconds without progress of anybody after which the one behind counts as lost.
        own: This process, which counts for the progress but is never silent.
    """

    def __init__(self, silence: float, stall: float, own: Peer):
        self.silence = silence
        self.stall = stall
        self.own = own
        self._states: dict[int, _State] = {}

    def note(self, peer: Peer, count: int, place: str, waits: bool = False) -> None:
        """A process has reached its ``count``-th place, named ``place``; there it may wait."""
        state = self._states.setdefault(peer.rank, _State(peer))
        state.quiet = 0.0
        if state.count != count:
            state.count, state.idle = count, 0.0
        state.place, state.waits = place, waits

    def forget(self, peer: Peer) -> None:
        """A process has left in good order."""
        self._states.pop(peer.rank, None)

    def tick(self, seconds: float) -> Lost | None:
        """Let time pass; returns who is lost.

        Args:
            seconds: During which this process ran. The time in which it was itself stopped, as by
                Ctrl-Z, does not count: it could not have heard anything.
        """
        for state in self._states.values():
            state.quiet += seconds
            state.idle += seconds
        for state in self._states.values():
            if state.quiet >= self.silence and state.peer != self.own:
                reason = f"gave no sign of life for {self.silence:g} s, since {state.place}"
                return Lost(state.peer, reason, is_silent=True)
        idle = min((state.idle for state in self._states.values()), default=0.0)
        ranking = sorted(self._states.values(), key=_State.position)
        if idle < self.stall or _State.position(ranking[0]) == _State.position(ranking[-1]):
            return None
        behind = ranking[0]
        reason = f"hangs: for {self.stall:g} s it has not left {behind.place}"
        return Lost(behind.peer, f"{reason}, and the others wait for it")


@dataclass
class _State:
    """What is known of one process: counts of places, seconds."""

    peer: Peer
    count: int = -1
    place: str = "its start"
    quiet: float = 0.0
    idle: float = 0.0
    waits: bool = False

    def position(self) -> tuple[int, bool]:
        """How far it has come: in the same place, who waits is ahead of who does not."""
        return self.count, self.waits


def _started(pid: int) -> int:
    """Start of a process in ticks since boot; 0 when there is no such process or no way to know."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name in parentheses may hold spaces; the 22nd field is the 20th after it.
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0
