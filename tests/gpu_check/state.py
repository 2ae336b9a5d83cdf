"""What the parts of the check left behind, one JSON file each."""

import hashlib
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

NOT_RUN = {"status": "not run", "seconds": 0.0, "detail": ""}


class State:
    """Results in a folder; they count for the sources that they were made from.

    Args:
        folder: Where they are.
        root: The checkout.
    """

    def __init__(self, folder: Path, root: Path):
        self.folder = folder / "parts"
        self.folder.mkdir(exist_ok=True)
        self.digest = digest(root)

    def keep(self, name: str, result: dict[str, Any]) -> None:
        """Write what a part gave."""
        text = json.dumps(result | {"sources": self.digest}, indent=1)
        (self.folder / f"{name}.json").write_text(text + "\n")

    def result(self, name: str) -> dict[str, Any]:
        """What a part gave for these sources."""
        path = self.folder / f"{name}.json"
        found = json.loads(path.read_text()) if path.exists() else {}
        return found if found.get("sources") == self.digest else NOT_RUN

    def has_passed(self, name: str) -> bool:
        """Whether the part need not be run again."""
        return self.result(name)["status"] == "passed"

    def results(self, parts: Iterable[Any]) -> dict[str, dict[str, Any]]:
        """By part, in their order."""
        return {part.name: self.result(part.name) for part in parts}


def digest(root: Path) -> str:
    """Of everything that can change a result; a copy of a checkout need not have its history."""
    found = hashlib.sha256()
    for folder in ("csrc", "dlplug", "tests"):
        for path in sorted((root / folder).rglob("*")):
            is_source = path.suffix in (".py", ".cpp", ".h", ".cu", ".cuh", ".yaml")
            if is_source and path.is_file():
                found.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def driver() -> str:
    """Name and driver of each GPU, as ``nvidia-smi`` tells them; empty without it."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
