"""Interleaved timing: every contender runs once per round, in random order, in one process.

Absolute times drift on a shared machine by more than the differences of interest; ratios of medians
from the same rounds do not. Never run two benchmarks at once.
"""

import gc
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

# A contender that takes less is repeated within its turn until it fills this time (seconds).
SHORTEST_TURN = 3e-4


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        name: Op, shape, dtype and pass, such as ``layer_norm 4096x768 bfloat16 forward``.
        contenders: Functions without arguments that do the same work; ``dlplug`` is ours.
        bytes: Least memory traffic of the work, or None where it is not the limit.
    """

    name: str
    contenders: dict[str, Callable[[], object]]
    bytes: int | None = None


def medians(
    contenders: dict[str, Callable[[], object]], seconds: float = 1.0, rounds: int = 7
) -> dict[str, float]:
    """Median time of one call of each contender, in seconds.

    Args:
        contenders: What to compare.
        seconds: Time to spend; at least ``rounds`` rounds are run however long they take.
        rounds: Least number of rounds.
    """
    repeats = {}
    for name, function in contenders.items():
        function()
        function()
        start = time.perf_counter()
        function()
        spent = time.perf_counter() - start
        repeats[name] = max(1, round(SHORTEST_TURN / max(spent, 1e-7)))
    times = {name: [] for name in contenders}
    names = list(contenders)
    deadline = time.perf_counter() + seconds
    gc.collect()
    gc.disable()
    try:
        while len(times[names[0]]) < rounds or time.perf_counter() < deadline:
            random.shuffle(names)
            for name in names:
                function, count = contenders[name], repeats[name]
                start = time.perf_counter()
                for _ in range(count):
                    function()
                times[name].append((time.perf_counter() - start) / count)
    finally:
        gc.enable()
    return {name: statistics.median(values) for name, values in times.items()}


def report(case: Case, seconds: float = 1.0) -> dict:
    """One row: times in milliseconds, and how many times longer each peer takes than dlplug."""
    found = medians(case.contenders, seconds)
    ours = found["dlplug"]
    row = {
        "case": case.name,
        "ms": {name: round(value * 1e3, 5) for name, value in found.items()},
        "ratio": {name: round(value / ours, 2) for name, value in found.items()},
    }
    if case.bytes:
        row["GB/s"] = round(case.bytes / ours / 1e9, 1)
    return row
