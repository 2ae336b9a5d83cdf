"""Heartbeat: what a process does when another one is lost. Two real ones: tests/chaos."""

import multiprocessing
import os
import socket
import subprocess
import sys
import threading
from types import SimpleNamespace

import lightning
import pytest
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

from dlplug.callbacks import heartbeat as module
from dlplug.callbacks.heartbeat import Heartbeat, _waits, heartbeat_of, is_from_transport, watched
from dlplug.errors import InvalidValueError, ProcessLostError
from dlplug.processes.watch import Lost, Peer

OWN, OTHER = Peer.here(0, 2), Peer(1, 2, "elsewhere", 7, 7)
LOST = Lost(OTHER, "ended without a word")
GLOO = RuntimeError("[gloo/transport/tcp/pair.cc:537] Connection reset by peer")


class Line:
    """In place of the connection: what the others are told."""

    def __init__(self):
        self.told = []

    def fail(self, text):
        self.told.append(text)

    def close(self):
        self.told.append("bye")


@pytest.fixture
def connected():
    """A heartbeat of two processes, and its trainer."""
    callback = Heartbeat()
    callback.own, callback._star = OWN, Line()
    connector = SimpleNamespace(_original_handlers={})
    return callback, SimpleNamespace(callbacks=[callback], _signal_connector=connector)


@pytest.mark.parametrize("name", ["silence", "stall"])
def test_a_bound_is_positive(name):
    """Seconds."""
    with pytest.raises(InvalidValueError, match=f"heartbeat: {name} = 0 is not above 0 seconds"):
        Heartbeat(**{name: 0})


def test_one_process_has_no_thread(task, fit):
    """Nor a connection."""
    seen = []

    class Look(lightning.Callback):
        def on_train_batch_end(self, *args):
            seen.extend(thread.name for thread in threading.enumerate())

    trainer = fit(task(), Heartbeat(), Look())
    assert seen and "heartbeat" not in seen
    assert heartbeat_of(trainer)._star is None


def test_a_process_out_of_reach_is_not_watched(monkeypatch, capsys):
    """As behind a firewall: the training goes on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()
    strategy = SimpleNamespace(broadcast=lambda own: (closed, OTHER, "secret"))
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    callback = Heartbeat()
    trainer = SimpleNamespace(world_size=2, global_rank=1, num_nodes=1, strategy=strategy)
    callback.setup(trainer, None, "fit")
    assert "is not watched" in capsys.readouterr().err and callback._star is None


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (GLOO, True),
        (RuntimeError("NCCL communicator was aborted"), True),
        (torch.distributed.DistNetworkError("timed out"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("gloo"), False),
    ],
)
def test_a_collective_s_errors_are_known(error, answer):
    """From those that a process makes itself."""
    assert is_from_transport(error) is answer


def test_an_own_error_is_told(connected):
    """The others end with its text."""
    callback, trainer = connected
    callback.on_exception(trainer, None, ValueError("no"))
    assert callback._star.told == ["ValueError: no"]


def test_a_signal_is_no_error(connected):
    """All processes leave together, and save before that."""
    callback, trainer = connected
    callback.on_exception(trainer, None, SIGTERMException())
    assert callback._star.told == [] and not callback._is_leaving.is_set()


def test_a_failed_collective_is_told_only_when_nobody_was_lost(connected, monkeypatch):
    """Otherwise the others would hear of the wrong process."""
    callback, trainer = connected
    monkeypatch.setattr(module, "GRACE", 0.0)
    monkeypatch.setattr(module.signal, "signal", lambda *args: None)
    callback.on_exception(trainer, None, GLOO)
    assert callback._star.told == [f"RuntimeError: {GLOO}"]
    callback._is_known.set()
    callback.on_exception(trainer, None, GLOO)
    assert len(callback._star.told) == 1 and callback._is_leaving.is_set()


def test_the_error_names_the_lost_process(connected):
    """In place of the collective's, which names nobody; other errors stay."""
    callback, trainer = connected
    with pytest.raises(RuntimeError, match=r"pair\.cc"), watched(trainer):
        raise GLOO
    callback.lost = LOST
    with pytest.raises(ValueError, match="own"), watched(trainer):
        raise ValueError("own")
    with pytest.raises(ProcessLostError, match="process 1 of 2") as error, watched(trainer):
        raise GLOO
    assert error.value.__cause__ is GLOO
    assert callback._star.told == ["bye"] * 3


@pytest.mark.parametrize(
    ("name", "answer"),
    [("torch.distributed.distributed_c10d", True), ("torch.cuda.streams", True), ("data", False)],
)
def test_a_thread_in_a_collective_waits(name, answer):
    """And one that waits for anything else does not."""
    lock, started = threading.Lock(), threading.Event()
    lock.acquire()
    space = {"__name__": name, "lock": lock, "started": started}
    exec("def call():\n    started.set()\n    lock.acquire()", space)
    thread = threading.Thread(target=space["call"])
    thread.start()
    started.wait()
    while sys._current_frames()[thread.ident].f_code.co_name != "call":
        thread.join(0.001)  # it has not come back from the event yet
    assert _waits(thread) is answer
    lock.release()
    thread.join()


COLLECTING = """
import gc, threading
from dlplug.callbacks.heartbeat import _waits

class Knot:
    def __init__(self):
        self.itself = self

    def __del__(self):
        thread = threading.Thread(target=print, args=("collected",))
        thread.start()
        thread.join()

main = threading.main_thread()
gc.disable()
assert not _waits(main)
assert not gc.isenabled()

# Each of their frames becomes an object: more of them than a collection waits for.
end = threading.Event()
threads = [threading.Thread(target=end.wait) for _ in range(100)]
for thread in threads:
    thread.start()
gc.collect()
Knot()
gc.set_threshold(50)
gc.enable()
assert not _waits(main)
assert gc.isenabled()
gc.collect()
end.set()
"""


def test_a_look_at_the_main_thread_collects_no_garbage():
    """Its finalizers may start threads, which the look keeps from starting: all would stand."""
    command = [sys.executable, "-c", COLLECTING]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "collected\n"), done.stderr


def lose(callback, lost):
    """Lose a process in a child of this one; gives its exit code and its standard error."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writing, 2)
        os.close(reading)
        worker = multiprocessing.get_context("fork").Process(target=threading.Event().wait)
        worker.daemon = True
        worker.start()
        os.write(2, f"worker {worker.pid}\n".encode())
        callback._lose(lost)
        os.write(2, b"it goes on\n")
        worker.kill()
        os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as output:
        text = output.read()  # until the worker, which holds it too, has ended
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text


@pytest.fixture
def impatient(monkeypatch):
    """No time for leaving; standard error is what a child of this process has."""
    monkeypatch.setattr(module, "GRACE", 0.0)
    monkeypatch.setattr(module, "ENDING", 0.0)
    monkeypatch.setattr(module.sys, "__stderr__", SimpleNamespace(fileno=lambda: 2))


def test_a_process_that_waits_in_a_collective_is_ended(connected, impatient):
    """With the code, the message and the record of the run; its workers too."""
    callback, _ = connected
    callback.on_lost = lambda: os.write(2, b"recorded\n")
    code, text = lose(callback, LOST)
    assert code == 75
    assert "ProcessLostError: process 1 of 2 (host elsewhere, pid 7) ended without a word" in text
    assert text.endswith("recorded\n")


def test_a_process_that_hangs_ends_itself(connected, monkeypatch, impatient):
    """It hears from the others that it is the one."""
    monkeypatch.setattr(module, "GRACE", 1000.0)
    code, text = lose(connected[0], Lost(OWN, "hangs"))
    assert code == 75 and "process 0 of 2" in text


def test_a_process_that_leaves_by_itself_is_let(connected, impatient):
    """Its main thread has an error from the collective, and ends in good order."""
    callback, _ = connected
    callback._is_leaving.set()
    callback._is_closed.set()
    code, text = lose(callback, LOST)
    assert code == 0 and text.endswith("it goes on\n")


def test_an_own_error_is_let_beside_another_s(connected, monkeypatch):
    """Of an error that all processes have, some hear from the others before they raise it."""
    callback, trainer = connected
    ended = []
    monkeypatch.setattr(callback, "_exit", ended.append)
    monkeypatch.setattr(module, "GRACE", 1.0)
    thread = threading.Thread(target=callback._lose, args=[LOST])
    # As the real one, which joins the thread that is in `_lose`.
    monkeypatch.setattr(callback._star, "fail", lambda text: thread.join(3.0))
    thread.start()
    callback._is_known.wait()
    with pytest.raises(ValueError, match="own"), watched(trainer):
        callback.on_exception(trainer, None, ValueError("own"))
        raise ValueError("own")
    thread.join()
    assert ended == []


def test_a_stopped_process_is_killed(connected, impatient, monkeypatch):
    """Nobody else would end it."""
    killed = []
    monkeypatch.setattr(Peer, "kill", lambda peer: killed.append(peer))
    callback, _ = connected
    callback._is_leaving.set()
    callback._is_closed.set()
    callback._lose(LOST)
    assert killed == []
    callback._lose(Lost(OTHER, "gave no sign of life", is_silent=True))
    assert killed == [OTHER]
