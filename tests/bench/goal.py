"""What is to be reached, beside what a record says."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dlplug.bench.verdict import FAILED, outcome

BEST, LIMIT = "the best peer", "the machine's limit"
COLUMNS = (
    "work",
    "against",
    "floor",
    "goal",
    "lowest",
    "on the machine's limit",
    "at the floor",
    "at the goal",
    "in the way",
)


@dataclass(frozen=True)
class Goal:
    """A ratio or share to reach in all rows whose names match, with all cores and with one thread.

    Attributes:
        work: What the rows do.
        pattern: A regular expression, found in the names of the rows.
        against: A peer; `BEST`, the fastest that computes the same; or `LIMIT`.
        floor: Time of the peer / time of dlplug, or share of the limit, that must hold; or None.
        goal: The same that is aimed for; or None.
        in_the_way: Why rows stay below the floor or the goal; told where some do.
    """

    work: str
    pattern: str
    against: str
    floor: float | None = None
    goal: float | None = None
    in_the_way: str = ""

    def is_reached(self, record: dict[str, Any]) -> bool:
        """Whether every row holds the floor and reaches the goal, and there is one."""
        least = max(filter(None, (self.floor, self.goal)))
        rows = self.rows(record)
        return bool(rows) and self.value(rows[0]) >= least

    def rows(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """Those that have a `value`, lowest first.

        Args:
            record: Of ``dlplug bench ops``. With an allocator as it comes, rows show what it does.
        """
        rows = (row for row in record["rows"] if row["allocator"] == "tuned")
        ours = (row for row in rows if re.search(self.pattern, row["row"]))
        return sorted((row for row in ours if self.value(row) is not None), key=self.value)

    def value(self, row: dict[str, Any]) -> float | None:
        """The ratio or share that was measured; None where there is none of right results."""
        if "ms" not in row or outcome(row) == FAILED:
            return None
        if self.against == LIMIT:
            return row["limit"]
        name = row["best"] if self.against == BEST else self.against
        return row["peers"].get(name, {}).get("ratio")


def table(goals: Iterable[Goal], record: dict[str, Any]) -> str:
    """As Markdown: how many rows hold the floor and reach the goal, and the lowest of them.

    "On the machine's limit": what the lowest row would have if nothing but the limit held it back.
    """
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for goal in goals:
        rows = goal.rows(record)
        lowest, at_limit = _lowest(goal, rows[0]) if rows else ("not measured", "")
        numbers = ["" if least is None else f"{least:g}" for least in (goal.floor, goal.goal)]
        why = "" if goal.is_reached(record) else goal.in_the_way
        held = [_at_least(least, goal, rows) for least in (goal.floor, goal.goal)]
        cells = (goal.work, goal.against, *numbers, lowest, at_limit, *held, why)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _lowest(goal: Goal, row: dict[str, Any]) -> tuple[str, str]:
    value, threads = goal.value(row), f"{row['threads']} thread{'s' * (row['threads'] > 1)}"
    at_limit = "" if goal.against == LIMIT or not row["limit"] else f"{value / row['limit']:.2f}"
    return f"{value:.2f} ({row['row']}, {threads})", at_limit


def _at_least(least: float | None, goal: Goal, rows: list[dict[str, Any]]) -> str:
    if least is None:
        return ""
    return f"{sum(goal.value(row) >= least for row in rows)} of {len(rows)}"
