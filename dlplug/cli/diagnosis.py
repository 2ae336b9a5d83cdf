"""What the diagnosing commands have in common on the command line."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlplug.cli.options import Parsed
from dlplug.cli.verb import load_experiment, print_config
from dlplug.errors import InvalidValueError
from dlplug.plugin import Registry

if TYPE_CHECKING:
    from dlplug.config.experiment import Experiment

Column = tuple[str, str]
# Columns that a table may take in a file or a pipe.
FILE_WIDTH = 160


def number(parsed: Parsed, name: str, default: Any, kind: type = int) -> Any:
    """An option's value as a number.

    Raises:
        InvalidValueError: It is none.
    """
    text = parsed.get(name)
    if text is None:
        return default
    try:
        return kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise InvalidValueError(
            f"--{name} must be {what}, got '{text}'", where="command line"
        ) from None


def experiment_or_config(parsed: Parsed, registry: Registry) -> "Experiment | None":
    """The experiment; None after ``--print_config`` was answered."""
    experiment = load_experiment(parsed, registry, None)
    if parsed.get("print_config"):
        print_config(parsed, experiment)
        return None
    return experiment


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
        print(json.dumps(finite(answer)))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    if rows:
        table = Table()
        for heading, side in columns:
            table.add_column(heading, justify=side, overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)


def finite(value: Any) -> Any:
    """Plain data in which numbers that JSON does not have are text."""
    if isinstance(value, Mapping):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), -float("inf"))):
        return str(value)
    return value
