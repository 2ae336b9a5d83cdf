"""The packages in the folder ``plugins``, for child processes as if pip had installed them.

A library that must not stand in the development environment itself (because it would change what
all other tests see) lies in a folder of its own there, ``.venv/.NAME`` for ``dlplug-NAME``, which
the Makefile fills; only that plugin's processes have it on their path.
"""

import ast
import os
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest

from dlplug.plugin.names import distribution_name
from dlplug.plugin.requirements import missing_requirements
from tests import forked

ROOT = Path(__file__).parents[2]
# Read as text: tomllib came with Python 3.11 only. Strings and lists of them are all that is there.
TABLE = re.compile(r"^\[([^\[\]\n]+)\]\n(.*?)(?=^\[|\Z)", re.M | re.S)
ENTRY = re.compile(r'^("?)([\w.-]+)\1 = ("[^"\n]*"|\[.*?\])$', re.M | re.S)


@dataclass(frozen=True)
class Package:
    """One folder with a ``pyproject.toml``."""

    folder: Path

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        """The folder's, which is the distribution's."""
        return self.folder.name

    @property
    def project(self) -> dict:
        """The table ``[project]`` of its pyproject."""
        text = (self.folder / "pyproject.toml").read_text()
        return tables_of(text)["project"] | {"entry-points": entry_points_of(text)}

    @property
    def libraries(self) -> Path:
        """Where a library lies that the other tests must not see; need not exist."""
        return Path(sys.prefix, f".{self.name.removeprefix('dlplug-')}")

    def python(self) -> str:
        """The interpreter: a real one where libraries of its own change what imports see."""
        return sys.executable if self.libraries.exists() else forked.python()

    def require(self) -> None:
        """Skip the test where a library that the plugin requires is not installed."""
        path = [*sys.path, str(self.libraries)]

        def is_installed(name: str) -> bool:
            known = metadata.distributions(name=name, path=path)
            return distribution_name(name) == "dlplug" or any(True for _ in known)

        requires = self.project.get("dependencies", [])
        own = distribution_name(self.name)
        if missing := missing_requirements(own, requires, None, is_installed):
            pytest.skip(f"not installed: {', '.join(missing)}; make test installs them")

    def install(self, folder: Path) -> dict[str, str]:
        """The environment of a process that has the plugin; its metadata is written below `folder`.

        Args:
            folder: Private to the test; holds what such a process remembers, too.
        """
        project = self.project
        info = folder / f"{self.name.replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir(parents=True)
        requires = "".join(f"Requires-Dist: {line}\n" for line in project.get("dependencies", []))
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: {project['name']}\nVersion: {project['version']}\n"
            f"Summary: {project['description']}\n{requires}"
        )
        lines = [
            text
            for group, entries in project["entry-points"].items()
            for text in (f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()))
        ]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        path = [folder, self.folder, ROOT, self.libraries]
        homes = {"XDG_CACHE_HOME": folder / "cache", "XDG_CONFIG_HOME": folder / "settings"}
        changed = {"PYTHONPATH": os.pathsep.join(map(str, path)), **homes}
        return os.environ | {key: str(value) for key, value in changed.items()}


def entry_points_of(pyproject: str) -> dict[str, dict[str, str]]:
    """The entry points in the text of a pyproject: ``{group: {name: value}}``."""
    prefix = "project.entry-points."
    tables = tables_of(pyproject).items()
    return {name.removeprefix(prefix): table for name, table in tables if name.startswith(prefix)}


def tables_of(pyproject: str) -> dict[str, dict]:
    """The strings, and lists of strings, in each table: ``{"project": {"name": "acme"}}``."""
    return {
        heading.replace('"', ""): {
            key: ast.literal_eval(value) for _, key, value in ENTRY.findall(body)
        }
        for heading, body in TABLE.findall(pyproject)
    }


PACKAGES = [Package(path.parent) for path in sorted((ROOT / "plugins").glob("*/pyproject.toml"))]
every_package = pytest.mark.parametrize("package", PACKAGES, ids=str)
