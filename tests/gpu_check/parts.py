"""The parts of the check: each is a command, and what its output says."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OUTPUT_KEPT = 6000  # characters of a part that failed
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
FAMILIES = {
    "adamw": ["adamw", "optimizer phase"],
    "norms": ["norm"],
    "attention": ["attention"],
}
PASSED, FAILED, UNFINISHED, SKIPPED = "passed", "failed", "unfinished", "skipped"


@dataclass(frozen=True)
class Context:
    """Where a part runs.

    Attributes:
        root: The checkout.
        folder: For what it leaves.
        name: Of the record.
        deadline: By `time.monotonic`.
        search_path: PYTHONPATH of the commands.
    """

    root: Path
    folder: Path
    name: str
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
        command: Made from the context; None where this machine has no way to run it.
        detail: One line about what was printed.
        environment: What it sets.
        least_seconds: Time that must be left for it to be started.
    """

    name: str
    about: str
    command: Callable[[Context], list[str] | None]
    detail: Callable[[str], str] = lambda output: last_line(output)
    environment: Mapping[str, str] = field(default_factory=dict)
    least_seconds: float = 20.0

    def run(self, context: Context) -> dict[str, Any]:
        """Plain data: ``status``, ``seconds``, ``detail`` and, unless it passed, ``output``."""
        command = self.command(context)
        if command is None:
            return {"status": SKIPPED, "seconds": 0.0, "detail": self.about}
        log = context.folder / f"{self.name}.log"
        begin = time.monotonic()
        with log.open("w") as file:
            try:
                code = subprocess.run(
                    command,
                    cwd=context.root,
                    env=os.environ | {"PYTHONPATH": context.search_path} | self.environment,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    timeout=max(1.0, context.remaining()),
                ).returncode
            except subprocess.TimeoutExpired:
                code = None
        output = log.read_text(errors="replace")
        status = PASSED if code == 0 else FAILED
        if code is None:
            status = UNFINISHED
        result = {"status": status, "seconds": time.monotonic() - begin}
        result["detail"] = self.detail(output)
        return result if status == PASSED else result | {"output": output[-OUTPUT_KEPT:]}


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


def _sanitize(tool: str) -> Part:
    # Exit code 1 for what the tool finds, too; PyTorch's allocator would hide overruns.
    flags = ["--tool", tool, "--error-exitcode", "1", "--target-processes", "all"]
    return Part(
        f"sanitize-{tool}",
        f"small calls of every op under compute-sanitizer's {tool}",
        lambda context: ["compute-sanitizer", *flags, *python("-m", "tests.gpu_check.small_calls")],
        environment={"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"},
        least_seconds=60.0,
    )


def _bench(family: str, words: list[str]) -> Part:
    def command(context: Context) -> list[str]:
        only = [part for word in words for part in ("--only", word)]
        record = ["--device", "cuda", "--record", context.name, "--resume"]
        return python("-m", "dlplug", "bench", "ops", *record, *only)

    return Part(
        f"bench-{family}",
        "times beside the peers; rows are kept one by one",
        command,
        _rows,
        least_seconds=60.0,
    )


def _rows(output: str) -> str:
    lines = re.findall(r"^\[(\d+)/(\d+)\]", output, re.MULTILINE)
    return f"{lines[-1][0]} of {lines[-1][1]} rows" if lines else last_line(output)


def _wheel(context: Context) -> list[str] | None:
    wheels = sorted((context.root / "dist").glob("dlplug-*.whl"))
    if not wheels:
        return None
    return python("-m", "tests.gpu_check.wheel", str(wheels[-1]))


PARTS = (
    Part(
        "build",
        "both libraries, for this GPU; then every op must have its kernels",
        lambda context: python("-m", "tests.gpu_check.build"),
    ),
    Part(
        "tests",
        "all tests marked gpu",
        lambda context: python(
            "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "tests"
        ),
        counts,
        least_seconds=60.0,
    ),
    Part(
        "train",
        "a small config in four precisions, beside the backend reference",
        lambda context: python("-m", "tests.gpu_check.train", str(context.folder / "runs")),
        least_seconds=60.0,
    ),
    *map(_sanitize, TOOLS),
    Part(
        "wheel",
        "the CPU wheel that dist/ holds, under this machine's PyTorch (skipped without one)",
        _wheel,
    ),
    *(_bench(family, words) for family, words in FAMILIES.items()),
)
