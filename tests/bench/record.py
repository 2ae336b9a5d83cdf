"""Recorded results of every kind: one JSON file each, and where they were measured."""

import json
import os
import time
from pathlib import Path
from typing import Any

from dlplug.run.environment import git_state, libraries

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


def surroundings() -> dict[str, Any]:
    """Machine, versions, commit and day: what every record says of where it comes from."""
    state = git_state()
    commit = "no commit" if state is None else state["commit"][:10]
    return {
        "processor": _processor(),
        "cpus": os.cpu_count(),
        **libraries(),
        "commit": f"{commit} with changes" if state and state["changed"] else commit,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def _processor() -> str:
    """Its name, as the kernel tells it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return "unknown processor"
