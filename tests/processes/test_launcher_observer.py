"""Lightning's observer of processes is held back."""

import threading
from types import SimpleNamespace

import pytest

from dlplug.processes import launcher_observer as module


@pytest.fixture
def observer(monkeypatch):
    """A thread like it, alone in this process; ``waits`` are those before it kills."""
    thread = threading.Thread(name=module.NAME)
    thread.killed, thread.waits = [], []
    thread._terminate_all = lambda: thread.killed.append(list(thread.waits))
    monkeypatch.setattr(module.threading, "enumerate", lambda: [thread])
    event = SimpleNamespace(wait=thread.waits.append)
    monkeypatch.setattr(module.threading, "Event", lambda: event)
    return thread


def test_it_kills_later(observer):
    """Once, however often it is held back."""
    module.hold_back(35.0)
    module.hold_back(35.0)
    observer._terminate_all()
    assert observer.killed == [[35.0]]


def test_lightning_still_has_it():
    """Under this name, with this method."""
    from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver

    thread = _ChildProcessObserver(main_pid=0, child_processes=[])
    assert thread.name == module.NAME and callable(thread._terminate_all)
