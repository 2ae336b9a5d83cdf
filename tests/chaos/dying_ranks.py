"""kill -9 of one of two processes: the other names it and ends, and the training goes on exactly.

Started by torchrun, which starts both again, and by Lightning, where the same command goes on.
"""

from pathlib import Path

from tests.chaos import rank_training
from tests.chaos.outcome import Outcome
from tests.chaos.progress import report
from tests.chaos.rank_training import LIGHTNING, STEPS_PER_EPOCH, TORCHRUN, train

BOUND = 60  # seconds from a death to the end of all processes
# Within an epoch, between two saves, at one, and in the next epoch.
STEPS = (6, 8, 14, 23)
LOST = 75  # exit code


def inject(count: int, folder: Path) -> Outcome:
    """Kill ``count`` times: the second and the first process in turn, by both launchers."""
    whole = folder / "whole"
    assert train(whole, LIGHTNING).code == 0
    fired = contained = 0
    slowest = 0.0
    for index in range(count):
        rank, launcher = 1 - index % 2, (TORCHRUN, LIGHTNING)[index // 2 % 2]
        place = folder / f"killed-{index}"
        end = train(place, launcher, f"{rank} {STEPS[index % len(STEPS)]} kill")
        fired += end.seconds is not None
        holds = end.names(rank) and not end.left
        if launcher is TORCHRUN:
            holds = holds and end.code == 0
        else:
            run = rank_training.run_in(place)
            # Of the first process the shell sees its death.
            holds = holds and end.code == (LOST if rank else -9) and end.seconds < BOUND
            holds = holds and run.status["status"] == "failed" and rank_training.is_intact(run)
            holds = holds and train(place, launcher).code == 0
            slowest = max(slowest, end.seconds)
        run = rank_training.run_in(place)
        holds = holds and (run.status["status"], run.status.get("resumed")) == ("finished", 1)
        contained += holds and rank_training.is_same(run, rank_training.run_in(whole))
        report(index + 1)
    seconds = {"slowest end, s": round(slowest, 1)} if slowest else {}
    return Outcome(fired, contained, seconds | {"optimizer steps": 2 * STEPS_PER_EPOCH})
