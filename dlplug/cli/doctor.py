"""``dlplug doctor``: what is installed, which ops run natively, how the plugins are."""

from typing import Any

from dlplug.cli.answer import print_json
from dlplug.cli.options import JSON, parse
from dlplug.plugin.registry import Registry

ABOUT = (
    "Shows versions, devices, the backend of every op, and each plugin with its health.\n"
    "Exits with 1 if something is wrong."
)
OPTIONS = (JSON,)


def main(argv: list[str], registry: Registry) -> int:
    """Print the state of the installation.

    Args:
        argv: What follows ``doctor`` on the command line.
        registry: As discovered; modules of hooks are imported.
    Returns:
        0, or 1 if there are problems.
    Raises:
        UnknownKeyError: an argument that does not exist.
    """
    options = parse(argv, OPTIONS)
    if options.get("help"):
        from dlplug.cli.help_page import command_page

        print(command_page(["doctor [OPTION]..."], ABOUT, OPTIONS))
        return 0
    from dlplug.run.health import examine

    found = examine(registry)
    print_json(found) if options.get("json") else _show(found)
    return 1 if found["problems"] else 0


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False, soft_wrap=True)
    console.print("[bold]versions[/]  " + escape(_pairs(found["libraries"])))
    machine = dict(found["hardware"])
    machine["gpus"] = ", ".join(machine["gpus"]) or "none"
    console.print("[bold]machine[/]   " + escape(_pairs(machine)) + "\n")
    _table(console, _op_rows(found["ops"]), ("op", "cpu", "cuda"))
    for row in found["native"]:
        if not row["loaded"]:
            console.print(f"{row['device']}: {row['reason']}", markup=False)
    rows = [(p["name"], p["version"], p["status"], str(p["components"])) for p in found["plugins"]]
    _table(console, rows, ("plugin", "version", "status", "components"))
    if found["checks"]:
        verdicts = [
            (c["plugin"], c["check"], "ok" if c["passed"] else "FAILED", c["detail"])
            for c in found["checks"]
        ]
        _table(console, verdicts, ("plugin", "check", "result", "detail"))
    if not found["problems"]:
        console.print("[green]no problems[/]")
    for problem in found["problems"]:
        console.print(f"problem: {problem}", markup=False, style="red")


def _op_rows(ops: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    """One row per op with its backend on each device."""
    by_op: dict[str, dict[str, str]] = {}
    for row in ops:
        by_op.setdefault(row["op"], {})[row["device"]] = row["backend"]
    return [(op, devices["cpu"], devices["cuda"]) for op, devices in by_op.items()]


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items() if value not in (None, ""))


def _table(console, rows: list[tuple[str, ...]], columns: tuple[str, ...]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*map(Text, row))  # plugins' texts are no markup
    console.print(table)
