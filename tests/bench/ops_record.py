"""A record of ``dlplug bench ops``, as Markdown.

``python -m tests.bench.ops_record NAME`` prints the short table that the README shows.
"""

import sys
from collections import Counter
from statistics import median

from dlplug.bench.verdict import (
    ALONE,
    COLUMNS,
    FAILED,
    LOSS,
    ROUTED,
    SKIPPED,
    WIN,
    cells,
    outcome,
    summary,
)
from tests.bench import goal, goals
from tests.bench.record import read_record

KIND = "ops"
SHORT_COLUMNS = ("op", "rows", "faster", "slower", "routed", "best peer / ours", "slower in")


def section(record: dict) -> str:
    """Machine and versions, how many rows are won, what was to be reached, then the table."""
    commits = sorted({f"{row['commit']} ({row['date']})" for row in record["rows"]})
    place = f"{record['processor']}, {record['isa']}, {record['cpus']} cores, "
    place += "".join(f"{gpu}, " for gpu in record["gpus"])
    place += f"torch {record['torch']}; at {', '.join(commits)}."
    parts = [place, f"{summary(record['rows'])}.", markdown_table(record)]
    if record.get("name") == goals.RECORD:
        parts[2:2] = [f"#### Goals\n\n{goal.table(goals.GOALS, record)}", "#### All rows"]
    return "\n\n".join(parts)


def markdown_table(record: dict) -> str:
    """The rows, for a page; what dlplug is worst at comes first."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    rows = sorted(record["rows"], key=_ratio)
    lines += [f"| {' | '.join(cells(row))} |" for row in rows]
    return "\n".join(lines) + "\n"


def _ratio(row: dict) -> float:
    """Of the best peer; what has none comes first."""
    if outcome(row) in (ALONE, FAILED, SKIPPED):
        return 0.0
    return row["peers"][row["best"]]["ratio"]


def short_table(record: dict) -> str:
    """One line for each op: how many rows are won and lost, and every row that is lost."""
    lines = [f"| {' | '.join(SHORT_COLUMNS)} |", "|---" * len(SHORT_COLUMNS) + "|"]
    for op in dict.fromkeys(_op(row) for row in record["rows"]):
        rows = [row for row in record["rows"] if _op(row) == op]
        counts = Counter(map(outcome, rows))
        ratios = [_ratio(row) for row in rows if outcome(row) in (WIN, LOSS)]
        spread = ""
        if ratios:
            spread = f"{min(ratios):.2f} to {max(ratios):.2f}, median {median(ratios):.2f}"
        lost = [row for row in rows if outcome(row) == LOSS]
        lines.append(
            f"| {op} | {len(rows)} | {counts[WIN]} | {counts[LOSS]} | {counts[ROUTED]}"
            f" | {spread} | {'; '.join(map(_lost, lost))} |"
        )
    return "\n".join(lines) + "\n"


def _op(row: dict) -> str:
    return "optimizer phase" if row["row"].startswith("optimizer") else row["row"].split()[0]


def _lost(row: dict) -> str:
    name = row["row"].removeprefix(_op(row)).strip()
    threads = f"{row['threads']} thread{'s' * (row['threads'] > 1)}"
    return f"{name}, {threads} {_ratio(row):.2f}"


if __name__ == "__main__":
    print(short_table(read_record(sys.argv[1])), end="")
