"""Recorded results of every kind: one JSON file each."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"


def read_records(kind: str | None = None) -> list[dict]:
    """The records in the folder, each with its file's name under ``name``.

    Args:
        kind: Of records; None for all.
    """
    records = [read_record(path.stem) for path in sorted(FOLDER.glob("*.json"))]
    return [record for record in records if kind in (None, record["kind"])]


def read_record(name: str) -> dict[str, Any] | None:
    """One record, or None when there is no such file."""
    path = FOLDER / f"{name}.json"
    return {"name": name, **json.loads(path.read_text())} if path.exists() else None
