"""``dlplug bench ops``: measure, show, keep."""

import os
import sys
from typing import Any

from dlplug.cli.answer import print_answer
from dlplug.cli.options import Parsed
from dlplug.errors import InvalidValueError
from dlplug.plugin import Registry

NAMES_SHOWN = 10


def main(parsed: Parsed, registry: Registry) -> int:
    """Measure the rows that were asked for and print them; returns the exit code.

    Args:
        parsed: The options.
        registry: What is installed.
    Returns:
        0, or 1 when a row failed: dlplug's own outputs are wrong, or it raised. A row that is
        skipped for want of memory is no failure.
    Raises:
        InvalidValueError: No row has such a name; a number of threads or a device that is not
            there; ``--resume`` without ``--record``.
        RunError: ``--record`` outside of a checkout.
    """
    device = device_named(parsed.get("device", "cpu"))
    threads = numbers_of_threads(parsed.get("threads", []))[: 1 if device == "cuda" else None]
    from dlplug.bench import session, verdict
    from dlplug.cli.bench_record import keep, record_path, recorded, write_page

    is_quick = bool(parsed.get("quick"))
    rows = session.chosen(parsed.get("only", []), is_quick, device)
    if not rows:
        names = [row.name for row in session.chosen(is_quick=is_quick, device=device)]
        raise _no_row(parsed, names)
    path = record_path(parsed.get("record"), is_quick)
    if parsed.get("resume"):
        rows = session.left(rows, threads, device, recorded(path, describe([])))
    names = [row.name for row in rows]
    results = []
    for result in session.run(rows, threads, is_quick, device):
        results.append(result)
        place = f"{names.index(result['row']) + 1}/{len(names)}"
        say(f"[{place}] {session.title(result)}: {verdict.verdict(result)}")
        if path is not None:  # at once: all rows take an hour
            keep(path, describe([result]))
    record = describe(results)
    if path is not None:
        write_page()
    columns = [(name, "left") for name in verdict.COLUMNS]
    lines = [verdict.summary(results), *([f"kept in {path}"] if path else [])]
    print_answer(parsed, record, columns, [verdict.cells(result) for result in results], lines)
    return int(any(verdict.outcome(result) == verdict.FAILED for result in results))


def device_named(name: str) -> str:
    """``cpu`` or ``cuda``.

    Raises:
        InvalidValueError: Another name, or there is no such device.
    """
    if name not in ("cpu", "cuda"):
        raise InvalidValueError(
            f"--device must be cpu or cuda, got '{name}'", where="command line", known="cpu, cuda"
        )
    if name == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise InvalidValueError(
                f"there is no GPU that torch {torch.__version__} could use",
                where="command line, --device cuda",
                fix="leave --device out to measure the processor's kernels",
            )
    return name


def numbers_of_threads(texts: list[str]) -> list[int]:
    """What ``--threads`` asks for, each number once.

    Raises:
        InvalidValueError: Something that is no number from 1 to that of the cores.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    for text in texts:
        if not (text.isdecimal() and 1 <= int(text) <= cores):
            raise InvalidValueError(
                f"--threads must be a whole number from 1 to {cores}, got '{text}'",
                where="command line",
            )
    return list(dict.fromkeys([int(text) for text in texts] or [cores, 1]))


def describe(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Results with machine, versions and commit: plain data."""
    from dlplug import ops
    from dlplug.bench.verdict import outcome
    from dlplug.run.environment import hardware, surroundings

    rows = [result | {"outcome": outcome(result)} for result in results]
    machine = surroundings() | {"isa": ops.current_isa(), "gpus": hardware()["gpus"]}
    return {"kind": "ops", **machine, "rows": rows}


def say(line: str) -> None:
    """On standard error: standard output is for the results."""
    print(line, file=sys.stderr, flush=True)


def _no_row(parsed: Parsed, names: list[str]) -> InvalidValueError:
    shown = ", ".join(names[:NAMES_SHOWN])
    more = len(names) - NAMES_SHOWN
    return InvalidValueError(
        f"no row is called {' or '.join(repr(text) for text in parsed.get('only', []))}",
        where="command line, --only",
        known=f"{shown}, and {more} more" if more > 0 else shown,
        fix="every word must stand in the name, such as --only 'layer_norm bfloat16'",
    )
