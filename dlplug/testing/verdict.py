"""What the kit says of one component and one rule, as data and as text."""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from itertools import groupby
from typing import Any

WIDTH = 100
"""Columns of the report."""


class Outcome(str, Enum):
    """Of a rule, for a component."""

    OK = "ok"
    FAILED = "failed"
    DOES_NOT_APPLY = "does not apply"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Verdict:
    """One line of the table.

    Attributes:
        kind: Plural.
        component: ``distribution:name``.
        rule: Name of the rule.
        outcome: See `Outcome`.
        reason: Why it failed or does not apply; None for ok.
        fix: What to do; None unless it failed.
    """

    kind: str
    component: str
    rule: str
    outcome: Outcome
    reason: str | None = None
    fix: str | None = None

    @property
    def is_failure(self) -> bool:
        """Whether somebody has to act."""
        return self.outcome is Outcome.FAILED

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"outcome": str(self.outcome)}


def report_data(distribution: str, version: str, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The whole table as plain data, for ``--json``.

    Returns:
        ``ok``, whether nothing failed; ``counts`` by outcome; ``verdicts``, see `Verdict`.
    """
    counts = {str(o): sum(v.outcome is o for v in verdicts) for o in Outcome}
    return {
        "distribution": distribution,
        "version": version,
        "ok": not counts[str(Outcome.FAILED)],
        "counts": counts,
        "verdicts": [verdict.to_dict() for verdict in verdicts],
    }


def report_text(distribution: str, version: str, verdicts: Sequence[Verdict]) -> str:
    """The whole table for reading: a block for each component, failures first."""
    blocks = [f"{distribution} {version}"]
    for (kind, component), group in groupby(verdicts, key=lambda v: (v.kind, v.component)):
        blocks.append("\n".join([f"{kind} {component}", *_block(list(group))]))
    counts = report_data(distribution, version, verdicts)["counts"]
    blocks.append(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    return "\n\n".join(blocks)


def _block(verdicts: Sequence[Verdict]) -> list[str]:
    lines = []
    for verdict in filter(lambda v: v.is_failure, verdicts):
        lines += _wrapped(f"  FAILED {verdict.rule}: ", verdict.reason)
        lines += _wrapped("    fix: ", verdict.fix)
    silent: dict[str | None, list[str]] = {}  # many rules have one reason, such as a broken gate
    for verdict in verdicts:
        if verdict.outcome is Outcome.DOES_NOT_APPLY:
            silent.setdefault(verdict.reason, []).append(verdict.rule)
    for reason, rules in silent.items():
        lines += _wrapped(f"  does not apply: {', '.join(rules)}: ", reason)
    kept = [verdict.rule for verdict in verdicts if verdict.outcome is Outcome.OK]
    return lines + (_wrapped("  ok: ", ", ".join(kept)) if kept else [])


def _wrapped(head: str, text: str | None) -> Iterable[str]:
    return textwrap.wrap(
        head + (text or ""), WIDTH, subsequent_indent=" " * 6, break_on_hyphens=False
    )
