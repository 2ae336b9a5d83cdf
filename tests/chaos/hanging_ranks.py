"""One of two processes hangs: it is named after the bound, and no process is left behind.

It is stopped as a whole, or its main thread waits for ever; the bounds are 8 s here.
"""

from pathlib import Path

from tests.chaos import rank_training
from tests.chaos.outcome import Outcome
from tests.chaos.progress import report
from tests.chaos.rank_training import LIGHTNING, TORCHRUN, train

BOUND = 60  # seconds from the fault to the end of all processes, 8 of them to notice
STEPS = (6, 9, 14)
LOST = 75  # exit code
REASONS = {"stop": "gave no sign of life for 8 s", "wait": "hangs: for 8 s it has not left"}


def inject(count: int, folder: Path) -> Outcome:
    """Let a process hang ``count`` times, in all ways: both processes, both launchers."""
    fired = contained = 0
    slowest = 0.0
    for index in range(count):
        how, rank = ("stop", "wait")[index % 2], 1 - index // 2 % 2
        launcher = (LIGHTNING, TORCHRUN)[index // 4 % 2]
        place = folder / f"hanging-{index}"
        end = train(place, launcher, f"{rank} {STEPS[index % len(STEPS)]} {how}")
        fired += end.seconds is not None
        run = rank_training.run_in(place)
        holds = end.names(rank) and REASONS[how] in end.output and not end.left
        if launcher is TORCHRUN:
            holds = holds and end.code == 0 and run.status["status"] == "finished"
        else:
            is_killed = how == "stop" and rank == 0  # the other process kills it
            holds = holds and end.code == (-9 if is_killed else LOST) and end.seconds < BOUND
            holds = holds and run.status["status"] == "failed" and rank_training.is_intact(run)
            slowest = max(slowest, end.seconds)
        contained += holds
        report(index + 1)
    return Outcome(fired, contained, {"slowest end, s": round(slowest, 1)})
