"""The table of components, and what is wrong with some of them, as text or plain data."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from dlplug.plugin.component import Component
from dlplug.plugin.families import Family, folded
from dlplug.plugin.names import one_line
from dlplug.plugin.plugin import Plugin
from dlplug.plugin.spec import CORE
from dlplug.plugin.status import Status, overall

MIN_SUMMARY = 12
"""Columns below which a summary tells nothing and is left out."""


def table(entries: Iterable[Component], width: int, folds: bool = True) -> str:
    """One block for each kind, one row per entry, at most ``width`` columns where names allow it.

    Args:
        entries: What is shown.
        width: Columns.
        folds: Whether a large family stands in one row, ``timm.*``.

    A row says whose a component is unless it is dlplug's own, and its status unless nothing is
    wrong. Names are never shortened, because they are there to be copied; summaries are.
    """
    groups: dict[str, list[Component]] = {}
    for entry in entries:
        groups.setdefault(entry.kind, []).append(entry)
    # Names come from strangers' metadata; a control character could rewrite the screen.
    blocks = []
    for kind, group in groups.items():
        shown = folded(group) if folds else group
        rows = [_family_cells(i) if isinstance(i, Family) else _cells(i) for i in shown]
        blocks.append([f"{one_line(kind)} ({len(group):,})", *_lines(rows, width)])
    return "\n\n".join("\n".join(block) for block in blocks)


def fold_note(entries: Iterable[Component]) -> str:
    """How the names of a folded family are listed; empty where none is folded."""
    families = [item for item in folded(entries) if isinstance(item, Family)]
    if not families:
        return ""
    return f"the names of a family: python -m dlplug plugins list --name '{families[0].pattern}'"


def matching(entries: Iterable[Component], pattern: str) -> list[Component]:
    """The entries whose name a pattern fits: with ``*``, ``?`` or ``[`` the whole, else a part.

    One with a colon is compared with ids; capital letters are small ones.
    """
    is_part = not set("*?[") & set(pattern)
    glob = (f"*{pattern}*" if is_part else pattern).lower()
    is_id = ":" in pattern
    return [e for e in entries if fnmatchcase((e.id if is_id else e.name).lower(), glob)]


def _cells(entry: Component) -> tuple[str, str, str]:
    return one_line(entry.name), one_line(_mark(entry)), one_line(entry.summary)


def _family_cells(family: Family) -> tuple[str, str, str]:
    first = family.members[0]
    status = overall(member.status for member in family.members)
    mark = ", ".join([first.provider] if _is_fine(status) else [first.provider, str(status)])
    return one_line(family.pattern), one_line(mark), f"{len(family.members):,} names"


def _lines(rows: Sequence[tuple[str, str, str]], width: int) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    room = width - 2 - sum(size + 2 for size in widths if size)
    lines = []
    for name, mark, summary in rows:
        cells = [name.ljust(widths[0])] + ([mark.ljust(widths[1])] if widths[1] else [])
        cells += [_shorten(summary, room)] if room >= MIN_SUMMARY else []
        lines.append("  " + "  ".join(cells).rstrip())
    return lines


def _mark(entry: Component) -> str:
    owner = "" if entry.distribution == CORE else entry.provider
    return ", ".join(filter(None, [owner, "" if _is_fine(entry.status) else str(entry.status)]))


def _is_fine(status: Status) -> bool:
    return status in (Status.AVAILABLE, Status.LOADED)


def problem_report(problems: Sequence[Component], plugins: Iterable[Plugin]) -> str:
    """Each problem with its reason and its fix; empty if there is none."""
    blocks = [
        [f"{e.provider}: {e.label}: {e.status}", *_detail("why", e.reason), *_detail("fix", e.fix)]
        for e in problems
    ]
    for plugin in plugins:
        slow = [f"importing {e.label} took {e.seconds} s" for e in plugin.entries if e.seconds]
        texts = [*plugin.warnings, *slow, *([plugin.problem] if plugin.problem else [])]
        blocks += [[f"{plugin.name} {plugin.version}", f"  why: {text}"] for text in texts]
    indented = (
        line[: len(line) - len(line.lstrip())] + one_line(line) for b in blocks for line in b
    )
    return "\n".join(indented)


def entry_data(entry: Component) -> dict[str, Any]:
    """An entry as plain data, for ``--json``."""
    keys = ("kind", "name", "id", "distribution", "version", "target", "summary", "reason", "fix")
    keys += ("seconds", "offered_by")
    data = {key: getattr(entry, key) for key in keys}
    error = f"{type(entry.error).__name__}: {entry.error}" if entry.error else None
    return {**data, "status": str(entry.status), "entry_point": entry.entry_point, "error": error}


def plugin_data(plugin: Plugin) -> dict[str, Any]:
    """A distribution as plain data, for ``--json``."""
    keys = ("name", "version", "folder", "summary", "api", "reason", "notes", "warnings")
    data = {key: getattr(plugin, key) for key in keys}
    return {
        **data,
        "status": str(plugin.status),
        "requires": list(plugin.requires),
        "entries": [entry_data(entry) for entry in plugin.entries],
    }


def _detail(key: str, text: str | None) -> list[str]:
    return [f"  {key}: {text}"] if text else []


def _shorten(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1].rstrip() + "…"
