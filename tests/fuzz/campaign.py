"""Many calls of one op."""

import time
import traceback
from collections.abc import Callable

import torch

from tests.fuzz.families import FAMILIES
from tests.fuzz.judge import fault_of

PROGRESS = 20.0  # seconds


def run(name: str, seed: int, numbers: range, end: float | None, say: Callable[[str], None]) -> int:
    """How many calls failed; each is said, with the line that repeats it.

    Args:
        name: Of the op.
        seed: Of the run.
        numbers: Of the calls.
        end: When to stop, in seconds of ``time.monotonic``; None for never.
        say: Takes a line.
    """
    begin = told = time.monotonic()
    failures = done = 0
    for number in numbers:
        now = time.monotonic()
        if end is not None and now > end:
            break
        if now - told > PROGRESS:
            told = now
            say(f"{name}: {done} of {len(numbers)} calls, {failures} failed")
        if why := _failure(name, seed, number, has_traceback=len(numbers) == 1):
            failures += 1
            say(f"{name}: {why}\n  python -m tests.fuzz --op {name} --only {number} --seed {seed}")
        done += 1
    say(f"{name}: {done} calls, {failures} failed, {time.monotonic() - begin:.0f} s")
    return failures


def _failure(name: str, seed: int, number: int, has_traceback: bool) -> str | None:
    """What is wrong with a call; whatever is raised is a failure of this call alone."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return fault_of(FAMILIES[name], seed, number)
    except Exception as error:
        if has_traceback:
            traceback.print_exc()
        return f"{type(error).__name__}: {error}"
    finally:
        torch.set_num_threads(before)
