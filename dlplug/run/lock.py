"""Which code a run consists of: plugins.lock."""

import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dlplug.plugin import Component
from dlplug.plugin.renames import Renames


def lock_entries(components: Iterable[Component]) -> list[dict[str, Any]]:
    """One entry for each loaded component: id, kind, version, entry point, hash of its file."""
    entries = [
        {
            "id": component.id,
            "kind": component.kind,
            "distribution": component.distribution,
            "version": component.version,
            "entry_point": component.target,
            "sha256": file_hash(component.target.partition(":")[0]),
        }
        for component in components
    ]
    unique = {json.dumps(entry, sort_keys=True): entry for entry in entries}
    return [unique[key] for key in sorted(unique)]


def file_hash(module: str) -> str | None:
    """SHA-256 of a loaded module's source or binary; None when it has no file."""
    path = getattr(sys.modules.get(module), "__file__", None)
    if path is None or not Path(path).is_file():
        return None
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def lock_text(entries: list[dict[str, Any]]) -> str:
    """The text of plugins.lock; equal for equal code."""
    return json.dumps(entries, indent=2, sort_keys=True) + "\n"


def lock_difference(ours: str, theirs: str, renames: Renames | None = None) -> str | None:
    """What differs between two texts of plugins.lock, in words; None when nothing does.

    Args:
        ours: Perhaps of an older version, which called components otherwise.
        theirs: In present names.
        renames: What is now called otherwise.
    """
    try:
        mine, other = _by_id(ours, renames), _by_id(theirs)
    except (ValueError, TypeError, KeyError):
        return "plugins.lock cannot be read"
    for key in sorted(mine.keys() | other.keys()):
        a, b = mine.get(key), other.get(key)
        if a is None or b is None:
            return f"{key} is on one side only"
        fields = [f for f in a if a[f] != b.get(f)]
        if fields:
            return f"{key}: {fields[0]} is {a[fields[0]]} and {b.get(fields[0])}"
    return None


def _by_id(text: str, renames: Renames | None = None) -> dict[str, dict[str, Any]]:
    entries = {}
    for entry in json.loads(text):
        successors = renames.successors(entry["kind"], entry["id"]) if renames else []
        entry["id"] = (successors or [entry["id"]])[0]
        entries[entry["id"] + " " + entry["kind"]] = entry
    return entries
