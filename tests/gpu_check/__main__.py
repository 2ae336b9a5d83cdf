"""``python -m tests.gpu_check``: build the CUDA library on this machine, prove and time it.

Offline, with the Python it is started by. After each part ``gpu-check-NAME.json``,
``gpu-check-NAME.md`` and ``ops-NAME.json`` are written, in ``build/gpu-check`` and in the folder.
Parts that have passed for these sources are not repeated, and rows that were timed are not timed
again: a check that ran out of time goes on when it is started again. On another machine it does
when these files lie in its ``build/gpu-check``.

Exit code 0 when every part has passed, 1 when one has failed, 2 where there is no GPU, 75 when
time ran out.
"""

import argparse
import sys
import time
from pathlib import Path

import torch

from tests.gpu_check import packages, report
from tests.gpu_check.part import FAILED, PASSED, Context, Part
from tests.gpu_check.parts import PARTS
from tests.gpu_check.state import State, digest

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "gpu-check"
UNFINISHED = 75


def main(arguments: list[str] | None = None) -> int:
    """Run what is left; returns the exit code."""
    options = _parser().parse_args(arguments)
    if not torch.cuda.is_available():
        say(f"there is no GPU that torch {torch.__version__} could use: nothing is measured")
        return 2
    folder, wheels = options.folder.resolve(), options.wheels.resolve()
    for needed in (WORK, folder):
        needed.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * options.minutes
    sources = digest(ROOT)
    search_path = packages.search_path(wheels, WORK)
    context = Context(ROOT, WORK, wheels, options.name, sources, deadline, search_path)
    state = State(WORK / f"gpu-check-{options.name}.json", sources)
    results = _run(_chosen(options.only), state, context, folder)
    say(report.markdown(results))
    statuses = {result["status"] for result in results.values()}
    if FAILED in statuses:
        return 1
    return 0 if statuses == {PASSED} else UNFINISHED


def _run(parts: list[Part], state: State, context: Context, folder: Path) -> report.Results:
    """One after the other, with a report after each; the results of all parts."""
    passed = set()
    for part in state.in_turn(parts):
        if part.needs is not None and part.needs not in passed:
            say(f"{part.name}: not started, {part.needs} has not passed")
        elif state.has_passed(part.name) and not part.is_repeated:
            say(f"{part.name}: passed before")
        elif context.remaining() < part.least_seconds:
            say(f"{part.name}: no time is left for it")
        else:
            say(f"{part.name}: {part.about}")
            result = state.parts[part.name] = part.run(context)
            passed |= {part.name} if result["status"] == PASSED else set()
            say(f"{part.name}: {result['status']} in {result['seconds']:.0f} s, {result['detail']}")
            report.write(context.folder, context.name, context.sources, state.results(PARTS))
            if folder != context.folder:
                report.copy(context.folder, context.name, folder)
    return state.results(PARTS)


def say(text: str) -> None:
    """At once: the check may be ended from outside."""
    print(text, flush=True)


def _chosen(names: list[str] | None) -> list[Part]:
    """Those of the names, and what has to be seen each time."""
    return [part for part in PARTS if not names or part.name in names or part.is_repeated]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.gpu_check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, default=WORK, help="for the three files")
    parser.add_argument("--wheels", type=Path, default=ROOT / "build" / "gpu-wheels")
    parser.add_argument("--name", default="gpu", help="of the record, such as h200")
    parser.add_argument("--minutes", type=float, default=9.5, help="after which nothing is started")
    names = [part.name for part in PARTS]
    parser.add_argument("--only", action="append", choices=names, help="parts")
    return parser


if __name__ == "__main__":
    sys.exit(main())
