"""The table of components, and what is wrong with some of them, as text or plain data."""

from collections.abc import Iterable, Sequence
from typing import Any

from dlplug.plugin.component import Component
from dlplug.plugin.names import one_line
from dlplug.plugin.plugin import Plugin
from dlplug.plugin.spec import CORE
from dlplug.plugin.status import Status

MIN_SUMMARY = 12
"""Columns below which a summary tells nothing and is left out."""


def table(entries: Iterable[Component], width: int) -> str:
    """One block for each kind, one row per entry, at most ``width`` columns where names allow it.

    A row says whose a component is unless it is dlplug's own, and its status unless nothing is
    wrong. Names are never shortened, because they are there to be copied; summaries are.
    """
    groups: dict[str, list[Component]] = {}
    for entry in entries:
        groups.setdefault(entry.kind, []).append(entry)
    # Names come from strangers' metadata; a control character could rewrite the screen.
    blocks = [
        [f"{one_line(kind)} ({len(group)})", *_rows(group, width)] for kind, group in groups.items()
    ]
    return "\n\n".join("\n".join(block) for block in blocks)


def _rows(group: Sequence[Component], width: int) -> list[str]:
    rows = [tuple(map(one_line, (e.name, _mark(e), e.summary))) for e in group]
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
    is_fine = entry.status in (Status.AVAILABLE, Status.LOADED)
    return ", ".join(filter(None, [owner, "" if is_fine else str(entry.status)]))


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
    keys += ("seconds",)
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
