"""Computes on import, for longer than the kit allows."""

import time

from tests.testing.bad.architectures import Good

__all__ = ["Good"]

_END = time.process_time() + 2.5
while time.process_time() < _END:
    pass
