"""``python -m tests.gpu_check``: build the CUDA library on this machine, prove and time it.

Offline, with the Python it is started by. Each part leaves a file in the folder; parts that have
passed at this commit are not repeated, so a check that ran out of time goes on when it is started
again. Then it writes ``gpu-check-NAME.json`` and ``gpu-check-NAME.md`` there.

Exit code 0 when every part has passed, 1 when one has failed, 2 where there is no GPU, 75 when
time ran out.
"""

import argparse
import sys
import time
from pathlib import Path

import torch

from tests.gpu_check import packages, report
from tests.gpu_check.parts import FAILED, PARTS, PASSED, SKIPPED, Context, Part
from tests.gpu_check.state import State

ROOT = Path(__file__).parents[2]
UNFINISHED = 75


def main(arguments: list[str] | None = None) -> int:
    """Run what is left; returns the exit code."""
    options = _parser().parse_args(arguments)
    if not torch.cuda.is_available():
        say(f"there is no GPU that torch {torch.__version__} could use: nothing is measured")
        return 2
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    state = State(folder, ROOT)
    deadline = time.monotonic() + 60 * options.minutes
    search_path = packages.search_path(options.wheels.resolve(), folder)
    context = Context(ROOT, folder, options.name, deadline, search_path)
    for part in _chosen(options.only):
        if state.has_passed(part.name):
            say(f"{part.name}: passed before")
        elif context.remaining() < part.least_seconds:
            say(f"{part.name}: no time is left for it")
        else:
            say(f"{part.name}: {part.about}")
            result = part.run(context)
            state.keep(part.name, result)
            say(f"{part.name}: {result['status']} in {result['seconds']:.0f} s, {result['detail']}")
    results = state.results(PARTS)
    report.write(folder, options.name, results, ROOT / "tests" / "bench" / "results")
    say(report.markdown(results))
    statuses = {result["status"] for result in results.values()}
    if FAILED in statuses:
        return 1
    return 0 if statuses <= {PASSED, SKIPPED} else UNFINISHED


def say(text: str) -> None:
    """At once: the check may be ended from outside."""
    print(text, flush=True)


def _chosen(names: list[str] | None) -> list[Part]:
    return [part for part in PARTS if not names or part.name in names]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.gpu_check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "gpu-check")
    parser.add_argument("--wheels", type=Path, default=ROOT / "build" / "gpu-wheels")
    parser.add_argument("--name", default="gpu", help="of the record, such as h200")
    parser.add_argument("--minutes", type=float, default=9.5, help="after which nothing is started")
    names = [part.name for part in PARTS]
    parser.add_argument("--only", action="append", choices=names, help="parts")
    return parser


if __name__ == "__main__":
    sys.exit(main())
