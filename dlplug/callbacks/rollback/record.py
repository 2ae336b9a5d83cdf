"""The rollbacks of a run, one JSON object a line."""

from pathlib import Path

from dlplug.storage.json_lines import read_rows, replace_rows

FILE = "rollbacks.jsonl"


def cut_rollbacks(path: Path, step: int) -> None:
    """Take out what a training that goes on after ``step`` will come to again."""
    if path.exists():
        replace_rows(path, [row for row in read_rows(path) if row["step"] <= step])
