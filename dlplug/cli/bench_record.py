"""Keeping results of ``dlplug bench ops`` in a checkout, where a page and a test show them."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import dlplug
from dlplug.errors import InvalidValueError, RunError

WHEN = ("commit", "date")  # belong to each row: a row can be recorded anew on its own
KEYS = ("row", "device", "threads", "allocator")
OF_ROWS = (*WHEN, "rows", "dlplug")  # a version of dlplug says less than the commit of each row


def record_path(name: str | None, is_quick: bool) -> Path | None:
    """The file of a record; None without a name.

    Raises:
        InvalidValueError: A name that is no file's, or a small set that is to be kept.
        RunError: dlplug is installed without its tests.
    """
    if name is None:
        return None
    if not re.fullmatch(r"[\w-]+", name):
        raise InvalidValueError(
            f"--record must be a name of letters, digits and dashes, got '{name}'",
            where="command line",
        )
    if is_quick:
        raise InvalidValueError("--record is for whole rows, not for --quick", where="command line")
    folder = checkout() / "tests" / "bench" / "results"
    if not folder.is_dir():
        raise RunError(
            "--record keeps results in a checkout of dlplug, and this one is installed without"
            " its tests",
            where=str(Path(dlplug.__file__).parent),
            fix="run it in a checkout, or keep what --json prints",
        )
    return folder / f"ops-{name}.json"


def checkout() -> Path:
    """The folder that holds the package."""
    return Path(dlplug.__file__).parents[1]


def keep(path: Path, record: dict[str, Any]) -> None:
    """Write a record.

    Rows of an earlier record of the same machine and versions stay, unless they are measured anew.

    Args:
        path: As `record_path` gives it.
        record: Machine, versions, ``rows``.
    """
    old = json.loads(path.read_text()) if path.exists() else None
    part = path.with_name(f"{path.name}.part")  # what is killed while it writes leaves the old one
    part.write_text(json.dumps(merged(old, record), indent=1) + "\n")
    part.replace(path)


def write_page() -> None:
    """Write the page of all records anew."""
    subprocess.run([sys.executable, "-m", "tests.bench.page"], cwd=checkout(), check=True)


def recorded(path: Path | None, here: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a record that come from this commit, machine and versions.

    Args:
        path: As `record_path` gives it.
        here: A record without rows.
    Raises:
        InvalidValueError: There is no record.
    """
    if path is None:
        raise InvalidValueError(
            "--resume goes on with a record", where="command line", fix="name it: --record NAME"
        )
    old = json.loads(path.read_text()) if path.exists() else None
    rows = merged(old, here)["rows"]
    return [row for row in rows if row["commit"] == here["commit"]]


def merged(
    old: dict[str, Any] | None, record: dict[str, Any], keys: tuple[str, ...] = KEYS
) -> dict[str, Any]:
    """``record`` with the rows that only ``old`` has, if it comes from the same machine.

    Args:
        old: The record so far, or None.
        record: Machine, versions, `WHEN`, ``rows``.
        keys: What tells one row from another.
    """
    machine = {key: value for key, value in record.items() if key not in OF_ROWS}
    kept = old["rows"] if old and all(old.get(key) == machine[key] for key in machine) else []
    when = {key: record[key] for key in WHEN}
    new = [row | when for row in record["rows"]]
    by_name = {tuple(row[key] for key in keys): row for row in [*kept, *new]}
    fields = {key: value for key, value in record.items() if key not in WHEN}
    return fields | {"rows": list(by_name.values())}
