"""Births: a worker that is stuck in its fork is told from one that takes its time."""

import itertools
import os
import subprocess
import sys
import threading

import pytest

from dlplug.data import worker_birth
from dlplug.data.restarting_loader import RESTARTS, RestartingIterator
from dlplug.data.worker_birth import LOOKS, _sleep
from dlplug.errors import DataError
from tests.data.test_restarting_loader import loader_of, order

# Taken by every fork of this process, as Python takes its own.
LOCK = threading.Lock()
os.register_at_fork(after_in_child=lambda: LOCK.acquire() and LOCK.release())


@pytest.fixture
def rescue(monkeypatch):
    """Let a test fail, rather than wait for ever, when nobody looks after the stuck workers."""
    workers = []
    build = RestartingIterator._reset

    def remember(iterator, *args, **kwargs):
        workers.extend(iterator._workers)
        return build(iterator, *args, **kwargs)

    monkeypatch.setattr(RestartingIterator, "_reset", remember)
    timer = threading.Timer(60, lambda: [worker.kill() for worker in workers])
    timer.start()
    yield workers
    timer.cancel()
    timer.join()


def release_at_restart(monkeypatch, number):
    """Let the thread that holds the lock be done with it when the workers start again."""
    count, deaths = RestartingIterator._count, itertools.count(1)

    def release(iterator, death):
        if next(deaths) == number:
            LOCK.release()
        return count(iterator, death)

    monkeypatch.setattr(RestartingIterator, "_count", release)


def test_a_worker_that_is_stuck_in_its_fork_is_started_again(rescue, monkeypatch, capfd):
    """It inherits a lock that is held; all batches come, and standard error says why so late."""
    release_at_restart(monkeypatch, 1)
    expected = order(loader_of())
    rescue.clear()
    LOCK.acquire()
    assert order(loader_of()) == expected
    said = capfd.readouterr().err
    assert said in [
        f"data: worker {number} (process {rescue[number].pid}) did not come up: another thread held"
        " a lock when it was forked; all start again at batch 1\n"
        for number in (0, 1)
    ]


def test_workers_that_are_always_stuck_end_the_training(rescue, monkeypatch):
    """They are not started for ever, and none of them is left."""
    monkeypatch.setattr(worker_birth, "LOOK", 0.01)
    release_at_restart(monkeypatch, RESTARTS + 1)
    LOCK.acquire()
    with pytest.raises(DataError, match="did not come up") as error:
        iter(loader_of())
    assert "data.num_workers: 0" in str(error.value)
    assert len(rescue) == 2 * (RESTARTS + 1) and not any(worker.is_alive() for worker in rescue)


@pytest.mark.parametrize("sleep", [itertools.count(), itertools.repeat(None)])
def test_a_worker_that_takes_its_time_is_let(sleep, rescue, monkeypatch, capfd):
    """One that runs, or sleeps again and again, however long it takes."""
    looks = []

    def look(pid):
        looks.append(pid)
        if len(looks) == 20 * LOOKS:
            os.write(writing, b"go")  # to both workers
        return next(sleep)

    expected = order(loader_of())
    reading, writing = os.pipe()
    monkeypatch.setattr(worker_birth, "LOOK", 0.001)
    monkeypatch.setattr(worker_birth, "_sleep", look)
    monkeypatch.setattr(sys.modules[__name__], "LOCK", Gate(reading))
    assert order(loader_of()) == expected
    assert len(looks) >= 20 * LOOKS
    assert capfd.readouterr().err == ""
    os.close(reading)
    os.close(writing)


class Gate:
    """Lets a process pass for each byte that has come through a pipe; in place of the lock."""

    def __init__(self, handle):
        self.handle = handle

    def acquire(self):
        os.read(self.handle, 1)

    def release(self):
        pass


@pytest.fixture
def child():
    """A process that says a word, and then answers."""
    script = "print('here', flush=True)\nwhile True: print(input(), flush=True)"
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe)
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def asleep(pid):
    """Its sleep, once it sleeps."""
    while (sleep := _sleep(pid)) is None:
        pass
    return sleep


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel does not tell")
def test_a_sleep_is_known_from_the_next(child):
    """One that goes on has the same number; between two, the process was awake."""
    first = asleep(child.pid)
    assert _sleep(child.pid) == first
    child.stdin.write(b"word\n")
    child.stdin.flush()
    assert child.stdout.readline() == b"word\n"
    assert asleep(child.pid) > first


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel does not tell")
def test_a_process_that_runs_or_is_gone_does_not_sleep(child):
    """This one runs."""
    assert _sleep(os.getpid()) is None
    child.kill()
    child.wait()
    assert _sleep(child.pid) is None
