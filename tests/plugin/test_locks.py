"""Locks between processes: they end with their process, whatever that has forked."""

import os
import signal
import subprocess
import sys

import pytest

from dlplug.plugin.locks import is_held

HOLD = """
import os, sys, time
from dlplug.plugin.locks import hold

file = open(sys.argv[1], "w")
hold(file)
file.write("once")
"""

FORK = """
if not os.fork():
    print(os.getpid(), flush=True)
time.sleep(60)
"""

REUSE = """
number = file.fileno()
file.close()
other = open(sys.argv[1] + ".other", "w")
assert other.fileno() == number
if not os.fork():
    other.write("of the child")
    sys.exit()
print(os.wait()[1])
"""

CLOSE = """
if not os.fork():
    file.close()
    os._exit(0)
print(os.wait()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Start a process that holds a file, and goes on as a text says; gives the file, too."""
    started = []

    def start(more):
        path = tmp_path / "lock"
        command = [sys.executable, "-W", "error", "-c", HOLD + more, str(path)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, **pipes))
        return started[-1], path

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_killed_process_holds_nothing_although_its_child_lives(holder):
    """As a loader's worker does for some seconds."""
    process, path = holder(FORK)
    child = int(process.stdout.readline())
    try:
        assert is_held(path)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        os.kill(child, 0)
        assert not is_held(path)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_child_neither_lets_go_nor_writes(holder):
    """What its parent has not written yet is written once."""
    process, path = holder(CLOSE)
    assert int(process.stdout.readline()) == 0
    assert is_held(path) and path.read_text() == ""
    process.communicate("")
    assert path.read_text() == "once" and not is_held(path)


def test_a_file_that_came_after_is_left_alone(holder):
    """It may have the number of one that was held and is closed."""
    process, path = holder(REUSE)
    assert int(process.stdout.readline()) == 0
    assert path.with_name("lock.other").read_text() == "of the child"
