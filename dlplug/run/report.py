"""Print what a verb has done."""

import csv
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dlplug.callbacks.rollback.record import FILE as ROLLBACKS
from dlplug.data.quarantine import FILE
from dlplug.run.result import Result
from dlplug.storage.output_file import is_regular

ROWS_SHOWN, COLUMNS_SHOWN = 5, 6
STAGES = {"train": "train", "val": "validation", "test": "test"}


def print_result(result: Result, console: Console | None = None) -> None:
    """A table of the metrics, then the paths; nothing in a process that is not the first.

    Args:
        result: Of any verb.
        console: Where to; standard output by default.
    """
    if not result.is_main:
        return
    console = console or Console(highlight=False)

    def say(line: str) -> None:
        console.print(Text(line), soft_wrap=True)  # nothing in a path is markup

    if result.metrics:
        console.print(metrics_table(result.metrics))
    if result.predictions is not None and is_regular(result.predictions):
        console.print(predictions_table(result.predictions))
    if result.records is not None:
        say(f"{'records':<12} {result.records}")
    if result.batches is not None:
        say(f"{'batches':<12} {result.batches}, by a limit of the trainer")
    if result.tests is not None:
        times = "once" if result.tests == 1 else f"{result.tests} times"
        say(f"this run has been tested {times} on the test split")
    if result.quarantined is not None:
        count = result.quarantined
        records = "1 record was" if count == 1 else f"{count} records were"
        where = "" if result.run is None else f": {result.run / FILE}"
        say(f"{records} set aside as bad{where}")
    if result.rollbacks:
        times = "once" if result.rollbacks == 1 else f"{result.rollbacks} times"
        where = "" if result.run is None else f": {result.run / ROLLBACKS}"
        say(f"the training went back before a spike {times}{where}")
    for name in ("checkpoint", "picture", "predictions", "arrays", "run"):
        path = getattr(result, name)
        if path is not None:
            say(f"{name:<12} {path}")
    for path in result.checkpoints or ():
        say(f"{'mean of':<12} {path}")


def predictions_table(path: Path) -> Table:
    """The first rows and columns of a file of predictions."""
    with path.open(encoding="utf-8", newline="") as file:
        head, *rows = islice(csv.reader(file), ROWS_SHOWN + 2)
    more = ["..."] if len(head) > COLUMNS_SHOWN else []
    table = Table()
    for heading in [*head[:COLUMNS_SHOWN], *more]:
        table.add_column(Text(heading))
    for row in rows[:ROWS_SHOWN]:
        table.add_row(*map(Text, [*row[:COLUMNS_SHOWN], *more]))
    if len(rows) > ROWS_SHOWN:
        table.add_row("...")
    return table


def metrics_table(metrics: dict[str, float]) -> Table:
    """One row for each metric, one column for each stage that has one."""
    cells: dict[str, dict[str, float]] = {}
    for key, value in metrics.items():
        stage, _, name = key.partition("_")
        if stage in STAGES and not key.endswith("_step"):
            cells.setdefault(name, {})[stage] = value
    stages = [stage for stage in STAGES if any(stage in row for row in cells.values())]
    table = Table("metric", *(STAGES[stage] for stage in stages))
    for column in table.columns[1:]:
        column.justify = "right"
    for name, row in sorted(cells.items(), key=lambda item: (item[0] != "loss", item[0])):
        table.add_row(Text(name), *(f"{row[s]:.4f}" if s in row else "" for s in stages))
    return table
