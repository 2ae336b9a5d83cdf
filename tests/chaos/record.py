"""Recorded outcomes of faults, as JSON and as tables."""

from typing import Any

from rich.markup import escape
from rich.table import Table

from dlplug.cli.bench_record import merged
from dlplug.run.environment import surroundings
from tests.chaos.campaign import is_contained

KIND = "chaos"


def name_of(name: str) -> str:
    """Of the file of a record, without its ending."""
    return f"{KIND}-{name}"


def merge(old: dict[str, Any] | None, rows: list[dict]) -> dict[str, Any]:
    """A record of ``rows``, and of the other rows of ``old`` if they come from the same machine.

    Args:
        old: The record so far, or None.
        rows: As `tests.chaos.campaign.run` gives them.
    """
    return merged(old, {"kind": KIND, **surroundings(), "rows": rows}, keys=("fault",))


def section(record: dict[str, Any]) -> str:
    """A record as Markdown: machine and versions, then the table."""
    commits = sorted({f"{row['commit']} ({row['date']})" for row in record["rows"]})
    place = f"{record['processor']}, {record['cpus']} cores, torch {record['torch']}, lightning"
    place += f" {record['lightning']}; at {', '.join(commits)}."
    return f"{place}\n\n{markdown_table(record)}"


def markdown_table(record: dict[str, Any]) -> str:
    """The rows of a record, for a page; what is not contained comes first."""
    rows = sorted(record["rows"], key=is_contained)
    lines = ["| fault | injected | contained | measured |", "|---|---|---|---|"]
    lines += [
        f"| {row['sentence']} | {row['injected']} | {row['contained']} | {_measured(row)} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def console_table(rows: list[dict]) -> Table:
    """The same for a terminal; what is not contained is red."""
    table = Table("fault", "injected", "contained", "measured")
    for row in rows:
        cells = [row["fault"], str(row["injected"]), str(row["contained"]), _measured(row)]
        table.add_row(*map(escape, cells), style=None if is_contained(row) else "red")
    return table


def _measured(row: dict[str, Any]) -> str:
    if row["error"] is not None:
        return row["error"]
    return ", ".join(f"{name} {value}" for name, value in row["measured"].items())
