"""When it is time to save again."""

import time
from collections.abc import Callable

BLOCKED_SHARE = 0.01
"""The largest share of the time for which saving may stop the training."""


class SaveInterval:
    """A time between two saves, longer where saving takes long.

    Args:
        seconds: Least time between two saves; None for no end.
        clock: Gives seconds.
    """

    def __init__(self, seconds: float | None, clock: Callable[[], float] = time.monotonic):
        self.seconds = seconds
        self.clock = clock
        self.blocked = 0.0
        """Seconds for which the last save stopped the training."""
        self._begun = clock()

    def begin(self) -> None:
        """Count from now."""
        self._begun = self.clock()

    def is_over(self) -> bool:
        """Whether it is time to save."""
        if self.seconds is None:
            return False
        return self.clock() - self._begun >= max(self.seconds, self.blocked / BLOCKED_SHARE)

    def measure(self, save: Callable[[], object]) -> None:
        """Save, and begin again from the end of it."""
        started = self.clock()
        save()
        self.begin()
        self.blocked = self._begun - started
