"""``dlplug runs list|show|verify|prune``: what was trained, whether it is intact, what can go."""

import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from dlplug.cli.options import JSON, Option, Parsed, parse
from dlplug.errors import InvalidValueError, UnknownKeyError, suggestion
from dlplug.plugin import Registry

ROOT = Option("root", "folder of the runs (default runs)", "DIR")
STATES = ("finished", "failed", "interrupted", "died")


class Form(NamedTuple):
    """One second word of the command."""

    run: Callable[[Parsed], int]
    usage: str
    about: str
    options: tuple[Option, ...] = (ROOT, JSON)


def main(arguments: list[str], registry: Registry) -> int:
    """Run one form; returns the exit code: 1 when ``verify`` finds damage.

    Raises:
        DlplugError: the arguments are wrong, or there is no such run.
    """
    from dlplug.cli.help_page import command_page

    word, rest = (arguments or ["--help"])[0], arguments[1:]
    if word in ("-h", "--help"):
        about = "\n".join(f"{name}: {form.about}" for name, form in FORMS.items())
        print(command_page([f"runs {form.usage}" for form in FORMS.values()], about, ()))
        return 0
    if word not in FORMS:
        raise UnknownKeyError(
            f"no command 'runs {word}'",
            where="command line",
            known=", ".join(f"runs {name}" for name in FORMS),
            fix=suggestion(word, FORMS),
        )
    form = FORMS[word]
    parsed = parse(rest, form.options, num_operands=1)
    if parsed.get("help"):
        print(command_page([f"runs {form.usage}"], form.about, form.options))
        return 0
    return form.run(parsed)


def list_runs(parsed: Parsed) -> int:
    """Print a table of runs."""
    from dlplug.run.history import all_runs, summary

    rows = [summary(run) for run in all_runs(_root(parsed), parsed.operand)]
    if parsed.get("json"):
        print(json.dumps({"runs": rows}))
    elif not rows:
        print(f"no runs under {_root(parsed)}/")
    else:
        print_table([_row(row) for row in rows], COLUMNS)
    return 0


def show(parsed: Parsed) -> int:
    """Print all about one run."""
    from dlplug.run.folder import Run
    from dlplug.run.history import checkpoints, summary

    if parsed.operand is None:
        raise InvalidValueError("runs show needs a run", fix="runs show NAME, or latest")
    run = Run.find(parsed.operand, _root(parsed))
    found = summary(run) | {"checkpoints": checkpoints(run)}
    found["files"] = sorted(path.name for path in run.path.iterdir() if path.name[0] != ".")
    if parsed.get("json"):
        print(json.dumps(found))
        return 0
    print_table([_row(found)], COLUMNS)
    print_table(_checkpoint_rows(found["checkpoints"]), ("checkpoint", "size", "state"))
    print(f"{found['path']}: {', '.join(found['files'])}")
    return 0


def verify(parsed: Parsed) -> int:
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
        print(json.dumps({"checkpoints": rows, "damaged": len(damaged)}))
    else:
        for row in damaged:
            print(f"{row['run']} {row['name']} is damaged: {row['damage']}")
        print(f"{len(rows) - len(damaged)} of {len(rows)} checkpoints are intact")
    return 1 if damaged else 0


def prune(parsed: Parsed) -> int:
    """Show, and with ``--yes`` remove, what nobody needs."""
    from dlplug.run.history import all_runs, removable, remove, summary

    statuses = tuple(parsed.get("status") or ())
    for status in statuses:
        if status not in STATES:
            raise InvalidValueError(
                f"--status {status}", known=", ".join(STATES), fix=suggestion(status, STATES)
            )
    keep, days = _number(parsed, "keep", 1), _number(parsed, "days", 0)
    runs = removable(all_runs(_root(parsed), parsed.operand), statuses, int(keep), days)
    rows = [summary(run) for run in runs]
    size = sum(map(remove, runs)) if parsed.get("yes") else sum(row["bytes"] for row in rows)
    if parsed.get("json"):
        print(json.dumps({"runs": rows, "bytes": size, "removed": bool(parsed.get("yes"))}))
        return 0
    if rows:
        print_table([_row(row) for row in rows], COLUMNS)
    done = "removed" if parsed.get("yes") else "would be removed"
    print(f"{len(rows)} runs, {_bytes(size)}: {done}")
    if rows and not parsed.get("yes"):
        print("add --yes to remove them")
    return 0


FORMS = {
    "list": Form(list_runs, "list [NAME] [OPTION]...", "runs, the newest first, with test metrics"),
    "show": Form(show, "show NAME [OPTION]...", "one run: state, metrics, checkpoints, files"),
    "verify": Form(
        verify,
        "verify [NAME] [OPTION]...",
        "every checkpoint against its manifest; exits with 1 if one is damaged",
    ),
    "prune": Form(
        prune,
        "prune [NAME] [OPTION]...",
        "what could go, removed with --yes; never a run that is being trained",
        (
            Option("status", f"only runs that are one of: {', '.join(STATES)}", "STATUS", True),
            Option("keep", "the newest so many of each name stay (default 1)", "NUMBER"),
            Option("days", "only runs that started longer ago (default 0)", "DAYS"),
            Option("yes", "remove them"),
            ROOT,
            JSON,
        ),
    ),
}
COLUMNS = ("run", "state", "started", "took", "size", "test")


def print_table(rows: list[tuple[str, ...]], columns: tuple[str, ...]) -> None:
    """Print rows of text under their columns."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*map(Text, row))
    Console(highlight=False).print(table)


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


def _number(parsed: Parsed, name: str, default: float) -> float:
    text = parsed.get(name)
    try:
        value = default if text is None else float(text)
    except ValueError:
        value = -1.0
    if value < 0:
        raise InvalidValueError(f"--{name} {text} is no number of 0 or more", where="command line")
    return value
