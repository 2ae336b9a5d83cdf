"""``dlplug runs list|show|verify|prune``: what was trained, whether it is intact, what can go."""

import math
import os
import time
from typing import Any

from dlplug.cli.answer import print_json, print_table
from dlplug.cli.group import Form, run_form
from dlplug.cli.options import JSON, Option, Parsed
from dlplug.errors import InvalidValueError, suggestion
from dlplug.plugin import Registry

ROOT = Option("root", "folder of the runs (default runs)", "DIR")
STATES = ("finished", "failed", "interrupted", "died", "damaged")
SHARED = (ROOT, JSON)
HOME = "dlplug.cli.runs"
FORMS = {
    "list": Form(
        f"{HOME}:list_runs",
        "runs, the newest first, with test metrics",
        "[NAME] [OPTION]...",
        SHARED,
        1,
    ),
    "show": Form(
        f"{HOME}:show",
        "one run: state, metrics, checkpoints, files",
        "RUN [OPTION]...",
        SHARED,
        1,
    ),
    "verify": Form(
        f"{HOME}:verify",
        "every checkpoint against its manifest; exits with 1 if one is damaged",
        "[RUN] [OPTION]...",
        SHARED,
        1,
    ),
    "prune": Form(
        f"{HOME}:prune",
        "what could go, removed with --yes; never a run that is being trained",
        "[NAME] [OPTION]...",
        (
            Option("status", "only runs in this state; may be repeated", "|".join(STATES), True),
            Option("keep", "the newest so many of each name stay (default 1)", "N"),
            Option("days", "only runs that started longer ago (default 0)", "DAYS"),
            Option("yes", "remove them"),
            *SHARED,
        ),
        1,
    ),
}
COLUMNS = tuple(
    (heading, "left") for heading in ("run", "state", "started", "took", "size", "test")
)


def main(arguments: list[str], registry: Registry) -> int:
    """Run one form; returns the exit code: 1 when ``verify`` finds damage.

    Raises:
        DlplugError: the arguments are wrong, or there is no such run.
    """
    return run_form("runs", FORMS, arguments, registry)


def list_runs(parsed: Parsed, registry: Registry) -> int:
    """Print a table of runs."""
    from dlplug.run.history import all_runs, summary

    rows = [summary(run) for run in all_runs(_root(parsed), parsed.operand)]
    if parsed.get("json"):
        print_json({"runs": rows})
    elif not rows:
        print(f"no runs under {os.path.abspath(_root(parsed))}/")
    else:
        print_table(COLUMNS, [_row(row) for row in rows])
    return 0


def show(parsed: Parsed, registry: Registry) -> int:
    """Print all about one run."""
    from dlplug.run.folder import Run
    from dlplug.run.history import checkpoints, summary

    if parsed.operand is None:
        raise InvalidValueError(
            "runs show needs a run", where="command line", fix="runs show NAME, or latest"
        )
    run = Run.find(parsed.operand, _root(parsed))
    found = summary(run) | {"checkpoints": checkpoints(run)}
    found["files"] = sorted(path.name for path in run.path.iterdir() if path.name[0] != ".")
    if parsed.get("json"):
        print_json(found)
        return 0
    print_table(COLUMNS, [_row(found)])
    columns = (("checkpoint", "left"), ("size", "right"), ("state", "left"))
    print_table(columns, _checkpoint_rows(found["checkpoints"]))
    print(f"{found['path']}: {', '.join(found['files'])}")
    return 0


def verify(parsed: Parsed, registry: Registry) -> int:
    """Check all checkpoints of the runs."""
    from dlplug.run.folder import Run
    from dlplug.run.history import all_runs, checkpoints

    root = _root(parsed)
    runs = [Run.find(parsed.operand, root)] if parsed.operand else all_runs(root)
    rows = [
        {"run": f"{run.name}/{run.number}", **entry} for run in runs for entry in checkpoints(run)
    ]
    damaged = [row for row in rows if row["damage"]]
    if parsed.get("json"):
        print_json({"checkpoints": rows, "damaged": len(damaged)})
    else:
        for row in damaged:
            print(f"{row['run']} {row['name']} is damaged: {row['damage']}")
        print(f"{len(rows) - len(damaged)} of {len(rows)} checkpoints are intact")
    return 1 if damaged else 0


def prune(parsed: Parsed, registry: Registry) -> int:
    """Show, and with ``--yes`` remove, what nobody needs."""
    from dlplug.run.history import all_runs, removable, remove, remove_rests, summary

    statuses = tuple(parsed.get("status") or ())
    for status in statuses:
        if status not in STATES:
            raise InvalidValueError(
                f"no run has the state '{status}'",
                where="command line, --status",
                known=", ".join(STATES),
                fix=suggestion(status, STATES),
            )
    keep, days = parsed.number("keep", 1), parsed.number("days", 0.0, float)
    if keep < 0 or not 0 <= days < math.inf:
        raise InvalidValueError(
            f"runs prune: keep = {keep}, days = {days:g}; both must be 0 or more",
            where="command line",
        )
    runs = removable(all_runs(_root(parsed), parsed.operand), statuses, keep, days)
    rows = [summary(run) for run in runs]
    size = sum(row["bytes"] for row in rows)
    if parsed.get("yes"):
        size = sum(map(remove, runs))
        remove_rests(_root(parsed))
    if parsed.get("json"):
        print_json({"runs": rows, "bytes": size, "removed": bool(parsed.get("yes"))})
        return 0
    if rows:
        print_table(COLUMNS, [_row(row) for row in rows])
    if not rows:
        print(f"nothing to remove: the newest {keep} of each name stay (--keep)")
    elif parsed.get("yes"):
        print(f"{_count(rows)} removed, {_bytes(size)}")
    else:
        print(f"{_count(rows)} would be removed, {_bytes(size)}; add --yes for that")
    return 0


def _count(rows: list) -> str:
    return "1 run" if len(rows) == 1 else f"{len(rows)} runs"


def _row(found: dict[str, Any]) -> tuple[str, ...]:
    metrics = (f"{name.removeprefix('test_')} {v:.4g}" for name, v in found["metrics"].items())
    seconds = found["seconds"]
    return (
        f"{found['name']}/{found['number']}",
        found["status"],
        time.strftime("%Y-%m-%d %H:%M", time.localtime(found["started"])),
        "" if seconds is None else f"{seconds:.0f} s",
        _bytes(found["bytes"]),
        ", ".join(metrics),
    )


def _checkpoint_rows(entries: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [(e["name"], _bytes(e["bytes"]), e["damage"] or "intact") for e in entries]


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def _root(parsed: Parsed) -> str:
    from dlplug.run.folder import ROOT as DEFAULT

    return parsed.get("root") or DEFAULT
