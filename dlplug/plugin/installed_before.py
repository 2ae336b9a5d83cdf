"""Entry points that were written or changed after their package was installed.

pip copies them from ``pyproject.toml`` when it installs, also with ``-e``: what is changed later
does not count until it installs again. It is looked for only where a name is unknown, and where a
package is checked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from dlplug.plugin.names import distribution_name
from dlplug.plugin.own_project import OwnProject, project_of
from dlplug.plugin.spec import is_ours

EntryPoint = tuple[str, str]
"""Group and name."""


@dataclass(frozen=True)
class Unseen:
    """In what the pyproject of an editable package and its metadata differ.

    Attributes:
        distribution: Normalised name.
        project: Where it lies.
        lines: Entry points that the metadata lacks.
        changed: Those that it has with another value, or that the pyproject names no longer; each
            with what is written now, None for nothing.
    """

    distribution: str
    project: OwnProject
    lines: tuple[EntryPoint, ...]
    changed: tuple[tuple[EntryPoint, str | None], ...] = ()

    @property
    def fix(self) -> str:
        """The command that makes them known."""
        return self.project.install_again

    def differences(self) -> Iterator[tuple[EntryPoint, str]]:
        """Each entry point, and what is to be said of it."""
        for point in self.lines:
            yield point, f"{self.project.file} names it only since it was installed"
        for point, now in self.changed:
            place = self.project.place(*point)
            said = "names it no longer" if now is None else f"says {now}"
            yield point, f"{place} {said} since it was installed"


def unseen_lines() -> list[Unseen]:
    """Of every editable package whose pyproject says something else, by name."""
    found = filter(None, map(_compared, metadata.distributions()))
    return sorted(found, key=lambda unseen: unseen.distribution)


def _compared(distribution: metadata.Distribution) -> Unseen | None:
    project = project_of(distribution)
    if project is None or not project.is_editable or project.entry_points is None:
        return None
    written = project.entry_points
    known = {
        (point.group, point.name): "".join(point.value.split())
        for point in distribution.entry_points
        if is_ours(point.group)
    }
    new = tuple(point for point in written if point not in known)
    changed = tuple((p, written.get(p)) for p, v in known.items() if written.get(p) != v)
    name = distribution_name(distribution.metadata.get("Name") or "")
    return Unseen(name, project, new, changed) if new or changed else None
