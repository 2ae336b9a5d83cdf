"""A distribution as a plugin: the entry points that it has, each with what its metadata tells."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata

from dlplug.plugin.component import HOOKS_KIND, Component
from dlplug.plugin.control import Rule
from dlplug.plugin.distributions import Found, find_plugins, is_installed
from dlplug.plugin.names import distribution_name, name_problem
from dlplug.plugin.own_project import project_named
from dlplug.plugin.requirements import missing_requirements, requirements_of
from dlplug.plugin.spec import (
    API_GROUP,
    API_MAJOR,
    HOOK_GROUP,
    INDEX_GROUP,
    KINDS,
    PRESETS,
    RENAMED_GROUP,
    RENAMED_PARAMETERS_GROUP,
    group_problem,
)
from dlplug.plugin.status import Status, overall
from dlplug.plugin.targets import Line

IsInstalled = Callable[[str], bool]


@dataclass(eq=False)
class Plugin:
    """A distribution that offers components, hooks or both.

    Args:
        name: Normalised.
        version: As installed.
        folder: Where its metadata lies; empty for the built-in components.
        summary: One line.
        requires: Requirements as in Requires-Dist.
        api: What it states as its API major, ``v1``; None if nothing, which is fine.
        entries: Its entry points, malformed ones and those of unknown groups included.
        notes: Further facts, such as identical copies elsewhere.
        warnings: Facts that somebody should act on.
        file: The file or folder that it is, if nobody packaged it; else empty.
        problem: Why its metadata cannot be read; None if it can.
    """

    name: str
    version: str
    folder: str = ""
    summary: str = ""
    requires: tuple[str, ...] = ()
    api: str | None = None
    entries: list[Component] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    file: str = ""
    problem: str | None = None

    @property
    def status(self) -> Status:
        """The worst status among its entries; disabled only if all of them are."""
        if self.problem:
            return Status.FAILED
        counted = (e for e in self.entries if e.is_problem or not e.status.is_problem)
        return overall(entry.status for entry in counted)

    @property
    def reason(self) -> str | None:
        """Why the status is what it is, of the first entry that has it."""
        reasons = (entry.reason for entry in self.entries if entry.status is self.status)
        return self.problem or next(reasons, None)

    @property
    def is_remembered(self) -> bool:
        """Whether all that is wrong is what an earlier process found."""
        faults = [entry for entry in self.entries if entry.is_problem]
        return not self.problem and bool(faults) and all(e.is_remembered for e in faults)

    def obey(self, rules: Iterable[Rule]) -> None:
        """Take the problem of the whole distribution for a note if the user's rules exclude it."""
        if self.problem and any(rule.objection(self.name, "") for rule in rules):
            self.notes.append(f"disabled; {self.problem}")
            self.problem = None


def installed_plugins(
    distributions: Iterable[metadata.Distribution] | None = None,
) -> list[Plugin]:
    """Every installed distribution that offers something, by name; imports none of them.

    Args:
        distributions: Where to look instead of ``sys.path``.
    """
    given = None if distributions is None else list(distributions)
    names = {distribution_name(one.metadata.get("Name") or "") for one in given or ()}

    @cache
    def is_present(name: str) -> bool:
        return distribution_name(name) in names or is_installed(name)

    return [read_plugin(found, is_present) for found in find_plugins(given)]


def read_plugin(found: Found, is_installed: IsInstalled) -> Plugin:
    """The plugin that a distribution's metadata describes; imports nothing of it."""
    lines = [line for line in found.lines if line.group != API_GROUP]
    api = [line for line in found.lines if line.group == API_GROUP]
    plugin = Plugin(
        found.name,
        found.version,
        found.folder,
        found.summary,
        found.requires,
        api=next((line.target for line in api if line.name == "major"), None),
        problem=found.problem,
    )
    # The same line twice is one line; the same name with two targets is a conflict.
    plugin.entries = [_entry(line, plugin) for line in dict.fromkeys(lines)]
    for line, entry in zip(dict.fromkeys(lines), plugin.entries, strict=True):
        _judge(entry, line, plugin, is_installed)
    _note_copies(found, plugin)
    _note_faults(found, lines, api, plugin)
    return plugin


def _entry(line: Line, plugin: Plugin) -> Component:
    kind = line.group.removeprefix("dlplug.")
    if line.group in (HOOK_GROUP, INDEX_GROUP):
        kind = HOOKS_KIND
    elif kind not in KINDS:
        kind = line.group  # the whole group, so that a misspelt one is seen as such
    is_renamed = line.group in (RENAMED_GROUP, RENAMED_PARAMETERS_GROUP)
    summary = f"Now called {line.target}." if is_renamed else plugin.summary
    entry = Component(kind, line.name, plugin.name, plugin.version, line.target, summary)
    entry.is_index = line.group == INDEX_GROUP
    for extra in line.extras:
        needs = requirements_of(plugin.name, plugin.requires, extra)
        entry.requires += tuple(
            f"{name}[{','.join(extras)}]" if extras else name for name, extras in needs
        )
    return entry


def _judge(entry: Component, line: Line, plugin: Plugin, is_installed: IsInstalled) -> None:
    """Give ``entry`` the status that the metadata alone tells; the gravest reason first."""

    def settle(status: Status, reason: str, fix: str, refuses: bool = True) -> None:
        entry.status, entry.reason, entry.fix, entry.refuses = status, reason, fix, refuses

    def ask(otherwise: str) -> str:
        project = project_named(plugin.name)
        return project.correction(line.group, line.name, line.target) if project else otherwise

    authors = f"ask the authors of {plugin.name}"
    if fault := group_problem(line.group):
        fix = ask(f"update dlplug, or {authors} to rename the group")
        settle(Status.INCOMPATIBLE, fault, fix)
    elif fault := line.problem or name_problem(line.name) or _shape_problem(entry):
        settle(Status.FAILED, fault, ask(f"{authors} to correct their entry points"))
    elif fault := _api_problem(plugin.api):
        settle(
            Status.INCOMPATIBLE,
            fault,
            f"install a version of {plugin.name} for API {API_MAJOR}, or another dlplug;"
            f" its authors state what it is made for by dlplug.api: major = v{API_MAJOR}",
        )
    elif line.group in (RENAMED_GROUP, RENAMED_PARAMETERS_GROUP):
        return  # it imports nothing; `dlplug.plugin.renames` judges all of them together
    elif missing := _missing(line.extras, found=plugin, is_installed=is_installed):
        extras = ",".join(line.extras)
        settle(
            Status.MISSING_EXTRA,
            f"needs its extra [{extras}]; not installed: {', '.join(missing)}",
            f"pip install '{plugin.name}[{extras}]'",
        )
    elif missing := _missing((None,), found=plugin, is_installed=is_installed):
        entry.missing = tuple(missing)
        settle(
            Status.MISSING_EXTRA,
            f"{plugin.name} requires what is not installed: {', '.join(missing)}",
            f"pip install {' '.join(missing)}",
            # Another distribution may stand in (onnxruntime-gpu, opencv-python-headless):
            # only the import tells.
            refuses=False,
        )


def _missing(extras, found: Plugin, is_installed: IsInstalled) -> list[str]:
    absent: set[str] = set()
    for extra in extras:
        absent.update(missing_requirements(found.name, found.requires, extra, is_installed))
    return sorted(absent)


def _shape_problem(entry: Component) -> str | None:
    if entry.kind not in KINDS or ":" in entry.target:
        return None
    stem, dot, last = entry.target.rpartition(".")
    meant = f"; did you mean '{stem}:{last}'?" if dot else ""
    if entry.kind == PRESETS:
        example = "presets/small.yaml of acme is acme.presets:small"
        return f"{entry.target!r} names no file; {example}{meant}"
    known = "a component is a class or function, module:Name"
    return f"{entry.target!r} names a module; {known}{meant}"


def _api_problem(api: str | None) -> str | None:
    # pyproject's checks want a name, so 'v1'; a bare '1' is what other build tools let pass.
    match = re.fullmatch(r"v?(\d+)", api or f"v{API_MAJOR}")
    if match is None:
        return f"states the plugin API {api!r}, which is not of the form 'v{API_MAJOR}'"
    if int(match[1]) != API_MAJOR:
        return f"made for plugin API {match[1]}; this dlplug has {API_MAJOR}"
    return None


def _note_copies(found: Found, plugin: Plugin) -> None:
    for copy in found.others:
        same = copy.version == found.version and set(copy.lines) == set(found.lines)
        wins = (
            f"{found.folder} comes first on sys.path"
            if copy.folder != found.folder
            else f"{found.version} ({found.form}) is preferred in one folder"
        )
        text = f"also found as {copy.version} in {copy.folder} ({copy.form}), ignored: {wins}"
        if same:
            plugin.notes.append(text)
        else:
            fix = f"reinstall {plugin.name}, or delete the stale {copy.form} or {found.form}"
            plugin.warnings.append(f"{text}; {fix}")


def _note_faults(found: Found, lines: list[Line], api: list[Line], plugin: Plugin) -> None:
    declared = {distribution_name(extra) for extra in found.extras}
    for line in lines:
        for extra in line.extras:
            if found.form == "dist-info" and distribution_name(extra) not in declared:
                plugin.warnings.append(
                    f"{line.group}: {line.name} names the extra {extra!r}, which is not declared"
                )
    for line in api:
        if line.name != "major":
            plugin.warnings.append(f"{API_GROUP}: {line.name!r} is not known; known: major")
