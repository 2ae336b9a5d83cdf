"""The rollbacks of a run, one JSON object a line."""

import json
from pathlib import Path
from typing import Any

from dlplug.storage.files import write_text

FILE = "rollbacks.jsonl"


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add one rollback."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All of them; a line torn by a crash is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def cut_rows(path: Path, step: int) -> None:
    """Take out what a training that goes on after ``step`` will come to again."""
    if path.exists():
        rows = [row for row in read_rows(path) if row["step"] <= step]
        write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
