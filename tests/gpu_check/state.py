"""What the parts of the check gave, kept in the file that reports them."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.gpu_check.part import FAILED, NOT_RUN, PASSED, UNFINISHED, Part

NOTHING = {"status": NOT_RUN, "seconds": 0.0, "detail": ""}


class State:
    """Results by part; they count for the sources that they were made from.

    Args:
        report: ``gpu-check-NAME.json`` of an earlier run of the check, if there was one.
        sources: Of now, as `digest` gives them.
    """

    def __init__(self, report: Path, sources: str):
        found = json.loads(report.read_text()) if report.exists() else {}
        self.parts = found["parts"] if found.get("sources") == sources else {}

    def result(self, name: str) -> dict[str, Any]:
        """What a part gave for these sources."""
        return self.parts.get(name, NOTHING)

    def has_passed(self, name: str) -> bool:
        """Whether the part need not be run again."""
        return self.result(name)["status"] == PASSED

    def results(self, parts: Iterable[Part]) -> dict[str, dict[str, Any]]:
        """By part, in their order."""
        return {part.name: self.result(part.name) for part in parts}

    def in_turn(self, parts: Iterable[Part]) -> list[Part]:
        """In their order, but last those that would only do again what they did before."""

        def is_late(part: Part) -> bool:
            status = self.result(part.name)["status"]
            is_again = status == FAILED or (status == UNFINISHED and not part.goes_on)
            return is_again and not part.is_repeated

        return sorted(parts, key=is_late)


def digest(root: Path) -> str:
    """Of everything that can change a result; a copy of a checkout need not have its history."""
    found = hashlib.sha256()
    paths = [root / "CMakeLists.txt", root / "setup.py"]  # which have the compilers' options
    for folder in ("csrc", "dlplug", "tests"):
        paths += sorted((root / folder).rglob("*"))
    for path in paths:
        is_source = path.suffix in (".py", ".cpp", ".h", ".cu", ".cuh", ".yaml", ".txt")
        if is_source and path.is_file():
            found.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]
