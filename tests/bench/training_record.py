"""Recorded trainings with dlplug's ops beside PyTorch's, as JSON and as Markdown.

``python -m tests.bench.training_record NAME`` prints the table that the README shows.
"""

import sys
from typing import Any

from dlplug.cli.bench_record import merged
from dlplug.run.environment import surroundings
from tests.bench.record import read_record

KIND = "training"
COLUMNS = (
    "training",
    "threads",
    "ms a step",
    "with PyTorch's ops",
    "their time / ours",
    "lowest and highest round",
)


def name_of(name: str) -> str:
    """Of the file of a record, without its ending."""
    return f"{KIND}-{name}"


def merge(old: dict[str, Any] | None, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A record of ``rows``, and of the other rows of ``old`` if they come from the same machine.

    Args:
        old: The record so far, or None.
        rows: As `tests.bench.training.measure` gives them.
    """
    return merged(old, {"kind": KIND, **surroundings(), "rows": rows}, keys=("config", "threads"))


def section(record: dict[str, Any]) -> str:
    """A record as Markdown: machine and versions, then the table."""
    commits = sorted({f"{row['commit']} ({row['date']})" for row in record["rows"]})
    place = f"{record['processor']}, {record['cpus']} cores, torch {record['torch']}, lightning"
    return f"{place} {record['lightning']}; at {', '.join(commits)}.\n\n{short_table(record)}"


def short_table(record: dict[str, Any]) -> str:
    """The rows as Markdown."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for row in record["rows"]:
        rounds = f"{min(row['ratios']):.2f} to {max(row['ratios']):.2f}"
        lines.append(
            f"| `configs/{row['config']}.yaml` | {row['threads']} | {row['ms']['dlplug']:.4g}"
            f" | {row['ms']['torch']:.4g} | {row['ratio']:.2f} | {rounds} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(short_table(read_record(sys.argv[1])), end="")
