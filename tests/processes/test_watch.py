"""Watch: who of several processes is lost, judged from what they tell."""

import os
import subprocess
import sys

import pytest

from dlplug.errors import ProcessLostError
from dlplug.processes.watch import Lost, Peer, Watch

PEERS = [Peer(rank, 3, f"node{rank}", 100 + rank, 5) for rank in range(3)]


def watch(*counts, silence=120.0, stall=600.0):
    """In the first of three processes, which have come so far."""
    result = Watch(silence, stall, PEERS[0])
    for peer, count in zip(PEERS, counts, strict=True):
        result.note(peer, count, f"batch {count}")
    return result


def speak(watching, *counts):
    """All tell where they are, as each second."""
    for peer, count in zip(PEERS, counts, strict=True):
        watching.note(peer, count, f"batch {count}")
    return watching.tick(1.0)


def test_a_silent_process_is_lost_after_the_bound():
    """Not a second sooner; the message names it, its machine and where it was."""
    watching = watch(7, 7, 7)
    for _ in range(119):
        watching.note(PEERS[1], 8, "batch 8")
        assert watching.tick(1.0) is None
    watching.note(PEERS[1], 8, "batch 8")
    lost = watching.tick(1.0)
    assert (lost.peer, lost.is_silent) == (PEERS[2], True)
    assert str(lost.error(PEERS[0])) == (
        "process 2 of 3 (host node2, pid 102) gave no sign of life for 120 s, since batch 7\n"
        "  where: noticed by process 0 of 3 (host node0, pid 100)\n"
        "  fix:   look at that process's own output, and for lack of memory in the kernel's log;"
        " then go on from the last checkpoint: fit --resume auto"
    )


def test_the_one_behind_hangs_when_nobody_goes_on():
    """It tells of itself, but the others have come further and wait."""
    watching = watch(8, 7, 8)
    answers = [speak(watching, 8, 7, 8) for _ in range(600)]
    assert answers[:-1] == [None] * 599
    assert (answers[-1].peer, answers[-1].is_silent) == (PEERS[1], False)
    assert "has not left batch 7, and the others wait for it" in answers[-1].reason


def test_this_process_can_be_the_one_that_hangs():
    """Its thread judges its own main thread like any other."""
    watching = watch(7, 8, 8)
    assert [speak(watching, 7, 8, 8) for _ in range(600)][-1].peer == PEERS[0]


def test_all_in_the_same_place_are_not_judged():
    """A first step that compiles, or a long batch of a validation."""
    watching = watch(7, 7, 7)
    assert {speak(watching, 7, 7, 7) for _ in range(2000)} == {None}


def test_who_does_not_wait_is_waited_for():
    """In the same place, some are in a collective already."""
    watching = watch(7, 7, 7)
    for second in range(600):
        for peer in PEERS:
            watching.note(peer, 7, "batch 7", waits=peer != PEERS[2])
        lost = watching.tick(1.0)
        assert (lost is None) is (second < 599)
    assert lost.peer == PEERS[2]


def test_all_in_a_collective_are_not_judged():
    """Nobody is missing there; the transport is at work."""
    watching = watch(7, 7, 7)
    for _ in range(2000):
        for peer in PEERS:
            watching.note(peer, 7, "batch 7", waits=True)
        assert watching.tick(1.0) is None


def test_one_behind_is_not_judged_while_any_goes_on():
    """The others do not wait for it yet."""
    watching = watch(8, 7, 8)
    assert {speak(watching, 8, 7, 8 + second) for second in range(2000)} == {None}


def test_who_has_left_is_not_judged():
    """A process that ended in good order is neither silent nor ahead."""
    watching = watch(7, 7, 9)
    watching.forget(PEERS[2])
    for _ in range(2000):
        watching.note(PEERS[1], 7, "batch 7")
        assert watching.tick(1.0) is None


def test_a_loss_travels_as_plain_data():
    """From the first process to the others."""
    lost = Lost(PEERS[1], "ended", is_silent=True)
    assert Lost.from_dict(lost.to_dict()) == lost
    assert isinstance(lost.error(PEERS[0]), ProcessLostError) and ProcessLostError.exit_code == 75


@pytest.fixture
def child():
    """A process that answers."""
    script = "while True: print(input(), flush=True)"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    yield process
    process.kill()
    process.communicate()


def test_only_the_very_process_is_killed(child):
    """Not another that has got its number since, nor one on another machine."""
    from dlplug.processes import watch as module

    started = module._started(child.pid)
    assert started > 0
    here = Peer.here(0, 2)
    assert here.pid == os.getpid()
    for host, start in ((here.host, started + 1), ("elsewhere", started)):
        Peer(1, 2, host, child.pid, start).kill()
        child.stdin.write(b"alive\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"alive\n"
    Peer(1, 2, here.host, child.pid, started).kill()
    assert child.wait() == -9
