"""One part of the check: a command, how it is run, and what its output says."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OUTPUT_KEPT = 20_000  # characters of a part that failed
PASSED, FAILED, UNFINISHED, NOT_RUN = "passed", "failed", "unfinished", "not run"


@dataclass(frozen=True)
class Context:
    """Where a part runs.

    Attributes:
        root: The checkout.
        folder: For what it leaves.
        wheels: Where ``make gpu-wheels`` put them.
        name: Of the record.
        sources: What the results are made from, in a few letters.
        deadline: By `time.monotonic`.
        search_path: PYTHONPATH of the commands.
    """

    root: Path
    folder: Path
    wheels: Path
    name: str
    sources: str
    deadline: float
    search_path: str

    def remaining(self) -> float:
        """Seconds."""
        return self.deadline - time.monotonic()


@dataclass(frozen=True)
class Part:
    """One command.

    Attributes:
        name, about: For people.
        command: Made from the context; FileNotFoundError where something is lacking for it.
        detail: One line about what was printed.
        environment: What it sets.
        least_seconds: Time that must be left for it to be started.
        needs: The part that must have passed in the same run of the check, or None.
        is_repeated: What it says may no longer hold in another run of the check.
        goes_on: What it has done counts when it ran out of time.
    """

    name: str
    about: str
    command: Callable[[Context], list[str]]
    detail: Callable[[str], str] = lambda output: last_line(output)
    environment: Mapping[str, str] = field(default_factory=dict)
    least_seconds: float = 20.0
    needs: str | None = None
    is_repeated: bool = False
    goes_on: bool = False

    def run(self, context: Context) -> dict[str, Any]:
        """Plain data: ``status``, ``seconds``, ``detail`` and, unless it passed, ``output``."""
        log = context.folder / f"{self.name}.log"
        begin = time.monotonic()
        try:
            code = self._run(context, log)
        except OSError as error:  # a program that is not there
            return {"status": FAILED, "seconds": 0.0, "detail": str(error), "output": ""}
        output = log.read_text(errors="replace")
        status = {None: UNFINISHED, 0: PASSED}.get(code, FAILED)
        result = {"status": status, "seconds": time.monotonic() - begin}
        result["detail"] = self.detail(output)
        return result if status == PASSED else result | {"output": output[-OUTPUT_KEPT:]}

    def _run(self, context: Context, log: Path) -> int | None:
        """The exit code; None when time ran out. None of its processes outlives it."""
        command = self.command(context)
        with log.open("w") as file:
            process = subprocess.Popen(
                command,
                cwd=context.root,
                env=os.environ | {"PYTHONPATH": context.search_path} | self.environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                # A group, no session: whoever ends the check by its session ends this too.
                preexec_fn=os.setpgrp,
            )
            try:
                return process.wait(max(1.0, context.remaining()))
            except subprocess.TimeoutExpired:
                return None
            finally:
                with suppress(ProcessLookupError):  # all have ended
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def last_line(output: str) -> str:
    """What was printed last, without the bars that a table would take for its own."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1].replace("|", "/")[:200] if lines else ""


def counts(output: str) -> str:
    """pytest's last line."""
    found = re.findall(r"\d+ (?:passed|failed|skipped|errors?|deselected)", output)
    return ", ".join(found[-5:]) or last_line(output)


def python(*words: str) -> list[str]:
    """A command by the Python that this one runs by."""
    return [sys.executable, *words]
