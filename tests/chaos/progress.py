"""How far a fault's module is, told to whoever runs it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_listeners: list[Callable[[int], object]] = []


def report(done: int) -> None:
    """Say how many faults have been injected so far; nothing happens when nobody listens."""
    for listener in _listeners:
        listener(done)


@contextmanager
def listening(listener: Callable[[int], object]) -> Iterator[None]:
    """Let ``listener`` hear what is reported in this context."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
