"""The table of components, and what is wrong with some of them, as text or plain data."""

from collections.abc import Iterable, Sequence
from typing import Any

from dlplug.plugin.component import Component
from dlplug.plugin.names import one_line
from dlplug.plugin.plugin import Plugin

MIN_SUMMARY = 12
"""Columns below which a summary tells nothing and is left out."""

_HEADINGS = ("kind", "name", "distribution", "status", "summary")


def table(entries: Iterable[Component], width: int) -> str:
    """One row per entry, at most ``width`` columns where the names allow it.

    Names are never shortened, because they are there to be copied; summaries are.
    """
    cells = ((e.kind, e.name, e.provider, e.status, e.summary) for e in entries)
    # Names come from strangers' metadata; a control character could rewrite the screen.
    rows = [_HEADINGS, *(tuple(map(one_line, row)) for row in cells)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS) - 1)]
    room = width - sum(widths) - 2 * len(widths)
    lines = []
    for row in rows:
        cells = [cell.ljust(size) for cell, size in zip(row, widths, strict=False)]
        summary = [_shorten(row[-1], room)] if room >= MIN_SUMMARY else []
        lines.append("  ".join(cells + summary).rstrip())
    return "\n".join(lines)


def problem_report(problems: Sequence[Component], plugins: Iterable[Plugin]) -> str:
    """Each problem with its reason and its fix; empty if there is none."""
    blocks = [
        [f"{e.provider}: {e.label}: {e.status}", *_detail("why", e.reason), *_detail("fix", e.fix)]
        for e in problems
    ]
    for plugin in plugins:
        texts = [*plugin.warnings, *([plugin.problem] if plugin.problem else [])]
        blocks += [[f"{plugin.name} {plugin.version}", f"  why: {text}"] for text in texts]
    indented = (
        line[: len(line) - len(line.lstrip())] + one_line(line) for b in blocks for line in b
    )
    return "\n".join(indented)


def entry_data(entry: Component) -> dict[str, Any]:
    """An entry as plain data, for ``--json``."""
    keys = ("kind", "name", "id", "distribution", "version", "target", "summary", "reason", "fix")
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
