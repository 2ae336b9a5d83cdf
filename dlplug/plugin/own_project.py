"""The ``pyproject.toml`` behind an installed package, where it came from a folder of this machine.

Whoever installs from a folder is the author, as a rule: what is wrong with an entry point is told
with the line to correct.
"""

import json
import re
import shlex
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dlplug.plugin.spec import group_problem, is_ours

try:
    import tomllib
except ImportError:  # Python 3.10: the lines of a pyproject are then not told
    tomllib = None

_HEADING = re.compile(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*("[^"]*"|'[^']*'|[\w-]+)\s*=""")
_TABLE = "project.entry-points."


@dataclass(frozen=True)
class OwnProject:
    """A package in work.

    Attributes:
        folder: Where its ``pyproject.toml`` lies.
        is_editable: Whether it is installed in place, with ``-e``.
    """

    folder: Path
    is_editable: bool

    @property
    def file(self) -> Path:
        """Its ``pyproject.toml``; need not exist."""
        return self.folder / "pyproject.toml"

    @property
    def install_again(self) -> str:
        """The step after a correction."""
        return f"install it again: {install_command(self.folder, self.is_editable)}"

    @cached_property
    def entry_points(self) -> dict[tuple[str, str], str] | None:
        """Values by group and name, of dlplug's groups; None where they are not written there.

        They may stand in a table of another tool, ``tool.poetry.plugins``, or in a ``setup.py``.
        """
        if tomllib is None:
            return None
        try:
            project = tomllib.loads(self._text)["project"]
            if not project.get("entry-points") or "entry-points" in project.get("dynamic", ()):
                return None
            return {
                (group, name): "".join(str(value).split())
                for group, lines in project["entry-points"].items()
                if is_ours(group)
                for name, value in dict(lines).items()
            }
        except (ValueError, TypeError, AttributeError, KeyError):
            return None  # of another form: pip says so when it installs

    def place(self, group: str, name: str | None = None) -> str:
        """``/home/me/acme-net/pyproject.toml, line 18``; without the line where there is none.

        Args:
            group: Of the entry point.
            name: Of the entry point; None for the heading of the group.
        """
        heading = ""
        for number, line in enumerate(self._text.splitlines(), 1):
            if match := _HEADING.match(line):
                heading = re.sub(r"""["'\s]""", "", match[1])
                is_it = name is None
            else:
                is_it = (key := _KEY.match(line)) is not None and key[1].strip("\"'") == name
            if is_it and heading == _TABLE + group:
                return f"{self.file}, line {number}"
        return str(self.file if self._text else self.folder)

    def correction(self, group: str, name: str, value: str) -> str:
        """What its author does about an entry point that is wrong.

        Args:
            group: Of the entry point.
            name: Of the entry point.
            value: As installed, without extras.
        """
        place = self.place(group, None if group_problem(group) else name)
        known = self.entry_points
        written = (known or {}).get((group, name), "").partition("[")[0]
        if known is None or written == "".join(value.split()):
            return f"correct {place}, and {self.install_again}"
        return f"{place} says otherwise since it was installed; {self.install_again}"

    @cached_property
    def _text(self) -> str:
        try:
            return self.file.read_text(encoding="utf-8")
        except (OSError, UnicodeError):
            return ""


def install_command(folder: str | Path, is_editable: bool = True) -> str:
    """How a package in a folder is installed."""
    flag = "-e " if is_editable else ""
    return f"pip install --no-build-isolation {flag}{shlex.quote(str(folder))}"


def project_of(distribution: metadata.Distribution) -> OwnProject | None:
    """The folder that a distribution was installed from, as PEP 610 records it; None for others."""
    try:
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
        url, kind = urlsplit(origin["url"]), origin["dir_info"]
        project = OwnProject(Path(unquote(url.path)), bool(kind.get("editable")))
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return None  # of another form: nothing is known
    return project if url.scheme == "file" and project.folder.is_dir() else None


def project_named(name: str) -> OwnProject | None:
    """`project_of` the installed distribution of that name, if there is one."""
    found = next(iter(metadata.distributions(name=name)), None) if name else None
    return found and project_of(found)
