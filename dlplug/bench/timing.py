"""Interleaved timing: every contender has one turn a round, in random order, in one process.

Absolute times drift on a shared machine by more than the differences of interest; ratios of medians
from the same rounds do not. Never run two benchmarks at once.
"""

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping

from dlplug.bench.device import finish, is_gpu

# A contender that takes less is repeated within its turn until it fills this time (seconds). On a
# GPU, waiting for the end of a turn takes some 10 us, and calls overlap as in a training.
SHORTEST_TURN, SHORTEST_TURN_ON_GPU = 3e-4, 3e-3
Call = Callable[[], object]


def medians(
    contenders: Mapping[str, Call],
    seconds: float = 1.0,
    rounds: int = 7,
    before: Mapping[str, Call] | None = None,
) -> dict[str, float]:
    """Median time of one call of each contender, in seconds: its own and its device's.

    Args:
        contenders: What to compare.
        seconds: Time to spend; at least ``rounds`` rounds are run however long they take.
        rounds: Least number of rounds.
        before: What a contender needs before each of its calls; its time does not count.
    """
    before = before or {}
    clocks = {name: _clock(call, before.get(name)) for name, call in contenders.items()}
    repeats = {}
    shortest = SHORTEST_TURN_ON_GPU if is_gpu() else SHORTEST_TURN
    for name, clock in clocks.items():
        clock(2)
        repeats[name] = max(1, round(shortest / max(clock(1), 1e-7)))
    times = {name: [] for name in contenders}
    names = list(contenders)
    deadline = time.perf_counter() + seconds
    is_collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        while len(times[names[0]]) < rounds or time.perf_counter() < deadline:
            random.shuffle(names)
            for name in names:
                times[name].append(clocks[name](repeats[name]) / repeats[name])
    finally:
        if is_collecting:
            gc.enable()
    return {name: statistics.median(values) for name, values in times.items()}


def _clock(call: Call, before: Call | None) -> Callable[[int], float]:
    """A function that calls several times and returns the seconds that the calls took."""

    def together(count: int) -> float:
        finish()
        start = time.perf_counter()
        for _ in range(count):
            call()
        finish()
        return time.perf_counter() - start

    def one_by_one(count: int) -> float:
        spent = 0.0
        for _ in range(count):
            before()
            spent += together(1)
        return spent

    return together if before is None else one_by_one
