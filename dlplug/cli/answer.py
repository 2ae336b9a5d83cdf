"""How commands answer: tables for people, one line of JSON for programs."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dlplug.cli.options import Parsed

Column = tuple[str, str]
# Columns that a table may take in a file or a pipe.
FILE_WIDTH = 160


def print_json(data: Mapping[str, Any]) -> None:
    """One line that any JSON reader takes: ``NaN``, which JSON does not have, becomes text."""
    print(json.dumps(finite(data)))


def print_answer(
    parsed: Parsed,
    answer: Mapping[str, Any],
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    lines: Sequence[str],
) -> None:
    """With ``--json`` the answer as one line, else a table and lines under it.

    Args:
        parsed: The command's options.
        answer: Plain data; what is not finite is written as text.
        columns: Heading and ``left`` or ``right``.
        rows: Cells; no table without rows.
        lines: Verdict, hints, paths.
    """
    if parsed.get("json"):
        print_json(answer)
        return
    if rows:
        print_table(columns, rows)
    for line in lines:
        print(line)


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Rows of text under their headings; nothing in them is markup.

    Args:
        columns: Heading and ``left`` or ``right``.
        rows: Cells.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    table = Table()
    for heading, side in columns:
        table.add_column(Text(heading), justify=side, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def finite(value: Any) -> Any:
    """Plain data in which numbers that JSON does not have are text."""
    if isinstance(value, Mapping):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), -float("inf"))):
        return str(value)
    return value
