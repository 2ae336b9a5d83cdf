"""One training that is killed several times and goes on each time."""

import os
import random
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dlplug.run.folder import Run
from tests.chaos import journal
from tests.chaos.journal import Line
from tests.chaos.processes import start
from tests.forked.client import Forked

# Shares of the moments that kills aim at; the rest of a training is much shorter.
SHARES = {"start-up": 2, "training": 4, "validation": 2, "saving": 2, "test": 2}
# Seconds between the begin of the phase and the kill.
LONGEST_DELAY = {"start-up": 0.5, "test": 0.3}
USUAL_DELAY = 0.01
POLL = 0.0005  # seconds
PATIENCE = 120  # seconds without an end


@dataclass(frozen=True)
class Aim:
    """When to kill.

    Args:
        phase: Of the training, as `Journal` names it.
        step: At the earliest.
        delay: Seconds to wait from then on.
    """

    phase: str
    step: int
    delay: float

    @classmethod
    def draw(cls, randomness: random.Random, reached: int, num_steps: int) -> "Aim":
        """A moment that is still to come when ``reached`` of ``num_steps`` steps are taken."""
        is_trained = reached == num_steps
        phases = ["start-up", "test"] if is_trained else list(SHARES)
        phase = randomness.choices(phases, [SHARES[p] for p in phases])[0]
        step = 0 if phase in LONGEST_DELAY else randomness.randint(reached + 1, num_steps)
        delay = randomness.uniform(0, LONGEST_DELAY.get(phase, USUAL_DELAY))
        return cls(phase, step, delay)


@dataclass(frozen=True)
class Kill:
    """One that fired.

    Args:
        phase: In which the training was.
        lost: Optimizer steps that had been taken and had to be taken again.
        unsettled: Optimizer steps that had been taken while a save was under way.
    """

    phase: str
    lost: int
    unsettled: int


def kill_training(
    arguments: list[str],
    folder: Path,
    cache: Path,
    num_kills: int,
    num_steps: int,
    randomness: random.Random,
) -> list[Kill]:
    """Start a training, kill it, start it again with the same words, until it has finished.

    Args:
        arguments: Of ``dlplug``; with ``--resume auto`` and a `Journal` among the callbacks.
        folder: In which it runs.
        cache: Folder for what the starts remember.
        num_kills: To aim at. Fewer fire when the training ends before its kill.
        num_steps: Of the whole training.
        randomness: Draws the moments.
    Raises:
        RuntimeError: it ended with an error, or not at all.
    """
    ends: list[Line] = []  # of the journal, when each start was killed
    is_finished = False
    while not is_finished:
        reached = max((end.step for end in ends), default=0)
        journal.write(Line("start-up", reached, reached), folder)
        aim = Aim.draw(randomness, reached, num_steps) if len(ends) < num_kills else None
        status = _follow(start(arguments, folder, cache), folder, aim)
        if status not in (0, -signal.SIGKILL):
            output = (folder / "output.txt").read_text()
            raise RuntimeError(f"a training ended with {status}:\n{output[-3000:]}")
        if status:
            ends.append(journal.read(folder)[-1])
        is_finished = not status or _is_finished(folder)
    lost = losses(folder)
    return [Kill(end.phase, lost[i], end.step - end.settled) for i, end in enumerate(ends)]


def _follow(training: Forked, folder: Path, aim: Aim | None) -> int:
    """Kill the whole process group at the moment aimed at; returns how the process ended."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        status = training.wait(POLL)
        if status is not None:
            return status
        line = journal.read(folder)[-1]
        if aim is not None and line.phase == aim.phase and line.step >= aim.step:
            # The delay is part of the random moment; nothing is waited for.
            status = training.wait(aim.delay)
            if status is not None:
                return status
            with suppress(ProcessLookupError):
                os.killpg(training.pid, signal.SIGKILL)
            aim = None
    os.killpg(training.pid, signal.SIGKILL)
    training.wait(PATIENCE)
    raise RuntimeError(f"a training has not ended after {PATIENCE} s")


def _is_finished(folder: Path) -> bool:
    """Whether the newest run says so; a training killed after that has nothing to go on with."""
    runs = [Run(path.parent) for path in folder.glob("runs/*/*/run.json")]
    return any(run.status["status"] == "finished" for run in runs)


def losses(folder: Path) -> list[int]:
    """Steps taken by each start that a later one took again; one that does not train loses none."""
    found: list[int] = []
    trained, reached = 0, 0  # the newest start that trained, and how far it came
    for line in journal.read(folder):
        if line.phase == "start-up":
            found.append(0)
        elif line.phase == "resumed":
            found[trained] = max(0, reached - line.step)
            trained, reached = len(found) - 1, line.step
        else:
            reached = max(reached, line.step)
    return found
