"""Entry points that were written after their package was installed, which nobody finds yet.

pip copies them from ``pyproject.toml`` when it installs, also with ``-e``: what is added later does
not count until it installs again. It is looked for only where a name is unknown.
"""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from dlplug.plugin.names import distribution_name
from dlplug.plugin.spec import HOOK_GROUP

try:
    import tomllib
except ImportError:  # Python 3.10: such packages are then not told from others
    tomllib = None


@dataclass(frozen=True)
class Unseen:
    """What the pyproject of an editable package names and its metadata does not.

    Attributes:
        distribution: Normalised name.
        folder: Where its ``pyproject.toml`` lies.
        lines: Pairs of group and name.
    """

    distribution: str
    folder: Path
    lines: tuple[tuple[str, str], ...]

    @property
    def fix(self) -> str:
        """The command that makes them known."""
        return f"install it again: {install_command(self.folder)}"


def install_command(folder: str | Path) -> str:
    """How a package in a folder is installed in place."""
    return f"pip install --no-build-isolation -e {shlex.quote(str(folder))}"


def unseen_lines() -> list[Unseen]:
    """Of every editable package, by name."""
    found = []
    for distribution in metadata.distributions():
        folder = _editable_folder(distribution)
        known = {(point.group, point.name) for point in distribution.entry_points} if folder else ()
        lines = tuple(line for line in _written(folder) if line not in known) if folder else ()
        if lines:
            name = distribution_name(distribution.metadata.get("Name") or "")
            found.append(Unseen(name, folder, lines))
    return sorted(found, key=lambda unseen: unseen.distribution)


def _editable_folder(distribution: metadata.Distribution) -> Path | None:
    """As PEP 610 records it; None for what is installed otherwise."""
    try:
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
        is_editable = bool(origin.get("dir_info", {}).get("editable"))
        return Path(unquote(urlsplit(origin["url"]).path)) if is_editable else None
    except (OSError, ValueError, AttributeError, KeyError):
        return None  # of another form: nothing is known


def _written(folder: Path) -> Iterator[tuple[str, str]]:
    for group, lines in _entry_points(folder / "pyproject.toml").items():
        if group == HOOK_GROUP or group.startswith(f"{HOOK_GROUP}."):
            yield from ((group, name) for name in lines)


def _entry_points(file: Path) -> dict[str, Any]:
    try:
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"] if tomllib else {}
        points = project.get("entry-points", {})
        return {group: dict(lines) for group, lines in points.items()}
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return {}  # of another form, or not there: pip says so when it installs
