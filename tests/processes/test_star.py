"""Star: a process that dies is known to all the others at once."""

import json
import math
import queue
import socket

import pytest

from dlplug.processes.star import Star, new_secret
from dlplug.processes.watch import Peer, Watch

PEERS = [Peer(rank, 3, f"node{rank}", 100 + rank, 5) for rank in range(3)]
SECRET = new_secret()
SECONDS = 60  # more than anything here takes


@pytest.fixture
def stars():
    """Make the ends of three processes in this one; ``stall`` counts in the first."""
    made = []

    def make(stall=math.inf, counts=(0, 0, 0)):
        server = socket.create_server(("127.0.0.1", 0))
        for peer, count in zip(PEERS, counts, strict=True):
            ends = {"server": server}
            if peer.rank:
                ends = {"first": (PEERS[0], socket.create_connection(server.getsockname()))}
            losses = queue.Queue()
            star = Star(
                peer,
                Watch(SECONDS, math.inf if peer.rank else stall, peer),
                lambda count=count: (count, f"batch {count}", False),
                losses.put,
                interval=0.01,
                secret=SECRET,
                **ends,
            )
            star.losses = losses
            made.append(star)
            star.start()
        wait_for(lambda: len(made[0].watch._states) == 3)
        return made

    yield make
    for star in made:
        star.close()
        star.join(SECONDS)


def wait_for(condition):
    """Until the threads have come so far."""
    patience = queue.Queue()
    for _ in range(100 * SECONDS):
        if condition():
            return
        try:
            patience.get(timeout=0.01)
        except queue.Empty:
            continue
    raise AssertionError("it has not come about")


def die(star):
    """Close the connections without a word, as the kernel does it for a process that is killed."""
    star._send = lambda message: None
    star.close()
    star.join(SECONDS)


def test_a_death_is_told_to_all(stars):
    """By the first process, which sees the connection end."""
    first, second, third = stars()
    die(second)
    for star in (first, third):
        lost = star.losses.get(timeout=SECONDS)
        assert lost.peer == PEERS[1] and "ended without a word" in lost.reason


def test_the_death_of_the_first_is_seen_by_all(stars):
    """Each of the others has a connection with it."""
    first, second, third = stars()
    die(first)
    for star in (second, third):
        assert star.losses.get(timeout=SECONDS).peer == PEERS[0]


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_is_told_to_all(stars, failing):
    """With its text, before the process ends."""
    everybody = stars()
    everybody[failing].fail("ValueError: no")
    for star in everybody:
        if star.own.rank != failing:
            lost = star.losses.get(timeout=SECONDS)
            assert (lost.peer, lost.reason) == (PEERS[failing], "failed: ValueError: no")


def test_who_says_goodbye_is_not_lost(stars):
    """Only the next one, which does not."""
    first, second, third = stars()
    third.close()
    third.join(SECONDS)
    wait_for(lambda: 2 not in first.watch._states)
    die(second)
    assert first.losses.get(timeout=SECONDS).peer == PEERS[1]
    assert first.losses.empty()


def test_a_goodbye_of_the_first_is_no_death(stars):
    """The others go on alone."""
    first, second, third = stars()
    first.close()
    first.join(SECONDS)
    wait_for(lambda: not second._lines and not third._lines)
    assert second.losses.empty() and third.losses.empty()


def test_progress_reaches_the_first(stars):
    """Which finds the one that hangs, and tells the others, that one too."""
    everybody = stars(stall=0.1, counts=(3, 2, 3))
    for star in everybody:
        lost = star.losses.get(timeout=SECONDS)
        assert lost.peer == PEERS[1] and "it has not left batch 2" in lost.reason


@pytest.mark.parametrize(
    "words",
    [
        b'{"failed": "no"}\n',
        b'{"secret": "guess", "hello": {}}\n',
        b"[]\n",
        b"GET / HTTP/1.1\r\n\n",
        b"{}\n{}\n",
        b'{"secret": "\\ud800"}\n',
        b"[" * 30_000 + b"\n",
        json.dumps({"secret": SECRET}).encode() + b"\n",
        json.dumps({"secret": SECRET, "hello": {"rank": 1}}).encode() + b"\n",
    ],
    ids=[
        "no secret", "a guess", "no object", "another protocol", "two lines", "a lone surrogate",
        "brackets", "no hello", "a hello without counts",
    ],
)  # fmt: skip
def test_strangers_are_not_heard(stars, words):
    """Without the words of this training the connection is closed, and nothing else happens."""
    first, second, _ = stars()
    with socket.create_connection(first.server.getsockname(), timeout=SECONDS) as stranger:
        stranger.sendall(words)
        # Beats come until it is closed.
        with stranger.makefile("rb") as lines:
            assert all("count" in json.loads(line) for line in lines)
    assert first.losses.empty()
    die(second)
    assert first.losses.get(timeout=SECONDS).peer == PEERS[1]
