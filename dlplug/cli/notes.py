"""What the parts of a training tell of themselves, on standard error."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)


@contextmanager
def shown_notes() -> Iterator[None]:
    """Show what dlplug logs, from INFO on: warnings, and what is done without having been asked."""
    logger = logging.getLogger("dlplug")
    level, lines = logger.level, _Lines()
    logger.setLevel(logging.INFO)
    logger.addHandler(lines)
    try:
        yield
    finally:
        logger.removeHandler(lines)
        logger.setLevel(level)
