"""Old names of components and of their parameters: declared as lines of text, nothing imported.

A distribution renames what is its own. A line of the group ``dlplug.renamed`` is
``KIND.OLD_NAME = NEW_NAME``; one of ``dlplug.renamed_parameters`` is
``KIND.COMPONENT.OLD_PARAMETER = NEW_PARAMETER``. Two groups, because names of components may
contain dots. A new name may be renamed in turn.
"""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from dlplug.plugin.component import Component
from dlplug.plugin.names import split_id
from dlplug.plugin.plugin import Plugin
from dlplug.plugin.spec import KINDS, RENAMED_GROUP, RENAMED_PARAMETERS_GROUP
from dlplug.plugin.status import Status


@dataclass(frozen=True)
class Rename:
    """A name that is now another one.

    Args:
        what: Of which component, for messages: ``architecture``, or ``argument of loss 'focal'``.
        old: As it was.
        new: As it is.
    """

    what: str
    old: str
    new: str


class Renames:
    """What the lines of all plugins say; lines that cannot be right are left out.

    Args:
        plugins: Judged already.
    """

    def __init__(self, plugins: Iterable[Plugin]):
        self._names: dict[tuple[str, str], list[tuple[str, str]]] = {}
        self._parameters: dict[tuple[str, str], dict[str, str]] = {}
        self._told: set[Rename] = set()
        for plugin in plugins:
            self._read(plugin)

    def successors(self, kind: str, name: str) -> list[str]:
        """Ids of what ``name`` (short, or ``distribution:name``) of ``kind`` (plural) now is."""
        owner, short = split_id(name)
        found = self._names.get((kind, short), [])
        return [f"{plugin}:{new}" for plugin, new in found if owner in (None, plugin)]

    def successors_of_any_kind(self, name: str) -> list[str]:
        """As `successors`, for a name that may be of any kind."""
        return [one for kind in KINDS for one in self.successors(kind, name)]

    def parameters(self, kind: str, component_id: str) -> dict[str, str]:
        """Old name to new name of a component's parameters."""
        return self._parameters.get((kind, component_id), {})

    def has_parameters(self, kind: str, name: str) -> bool:
        """Whether any plugin's component of that short name has renamed parameters."""
        return any((kind, name) == (k, split_id(i)[1]) for k, i in self._parameters)

    def tell(self, rename: Rename, where: str | None) -> None:
        """Say on standard error what a name is now, once in a program."""
        # Of several processes that Lightning or torchrun start, one is enough.
        if rename in self._told or os.environ.get("LOCAL_RANK", "0") != "0":
            return
        self._told.add(rename)
        place = f" ({where})" if where else ""
        print(f"{rename.what} {rename.old!r} is now called {rename.new!r}{place}", file=sys.stderr)

    def _read(self, plugin: Plugin) -> None:
        names = _table(plugin, RENAMED_GROUP)
        for key in names:
            kind, _, old = key.partition(".")
            found = self._names.setdefault((kind, old), [])
            found.append((plugin.name, _chain(names, kind, old)[-1]))
        table = _table(plugin, RENAMED_PARAMETERS_GROUP)
        for key in table:
            kind, component, old = _split(key)
            new = _chain(table, f"{kind}.{component}", old)[-1]
            current = f"{plugin.name}:{_chain(names, kind, component)[-1]}"
            self._parameters.setdefault((kind, current), {})[old] = new


def judge_renames(plugin: Plugin) -> None:
    """Give every line that cannot be right the status failed, with the reason."""
    for group, fault_of in (
        (RENAMED_GROUP, _fault_of_name),
        (RENAMED_PARAMETERS_GROUP, _fault_of_parameter),
    ):
        entries = _usable(plugin, group)
        table = {entry.name: entry.target for entry in entries}
        faults = {}
        for entry in entries:
            targets = {other.target for other in entries if other.name == entry.name}
            faults[entry] = (
                f"{entry.name!r} has several new names: {', '.join(sorted(targets))}"
                if len(targets) > 1
                else fault_of(entry, table, plugin)
            )
        # Only now: a chain is judged as it was written.
        for entry, fault in faults.items():
            if fault:
                entry.status, entry.reason, entry.refuses = Status.FAILED, fault, True
                entry.fix = f"ask the authors of {plugin.name} to correct their entry points"


def _fault_of_name(entry: Component, table: dict[str, str], plugin: Plugin) -> str | None:
    kind, _, old = entry.name.partition(".")
    if kind not in KINDS or not old:
        return f"{entry.name!r} is not KIND.OLD_NAME, as in architectures.old_name"
    if _offers(plugin, kind, old):
        return f"{KINDS[kind].singular} {old!r} is both a component and an old name of one"
    chain = _chain(table, kind, old)
    if chain[-1] in chain[:-1]:
        return f"the new names go in a circle: {' -> '.join(chain)}"
    return _absence(plugin, kind, chain[-1])


def _fault_of_parameter(entry: Component, table: dict[str, str], plugin: Plugin) -> str | None:
    kind, component, old = _split(entry.name)
    if kind not in KINDS or not component or not old.isidentifier():
        return (
            f"{entry.name!r} is not KIND.COMPONENT.OLD_PARAMETER,"
            " as in architectures.some_net.old_parameter"
        )
    chain = _chain(table, f"{kind}.{component}", old)
    if chain[-1] in chain[:-1]:
        return f"the new names go in a circle: {' -> '.join(chain)}"
    if not chain[-1].isidentifier():
        return f"{chain[-1]!r} cannot be the name of a parameter"
    names = _table(plugin, RENAMED_GROUP)
    return _absence(plugin, kind, _chain(names, kind, component)[-1])


def _absence(plugin: Plugin, kind: str, name: str) -> str | None:
    # What a hook offers is known only when it is asked.
    has_hooks = any(entry.kind == "hooks" for entry in plugin.entries)
    if has_hooks or _offers(plugin, kind, name):
        return None
    return f"{plugin.name} has no {KINDS[kind].singular} {name!r}"


def _offers(plugin: Plugin, kind: str, name: str) -> bool:
    return any(entry.kind == kind and entry.name == name for entry in plugin.entries)


def _chain(table: dict[str, str], prefix: str, name: str) -> list[str]:
    """The names from ``name`` to the present one; in a circle the last one stands twice."""
    chain = [name]
    while chain[-1] not in chain[:-1] and f"{prefix}.{chain[-1]}" in table:
        chain.append(table[f"{prefix}.{chain[-1]}"])
    return chain


def _split(key: str) -> tuple[str, str, str]:
    kind, _, rest = key.partition(".")
    component, _, parameter = rest.rpartition(".")
    return kind, component, parameter


def _table(plugin: Plugin, group: str) -> dict[str, str]:
    return {entry.name: entry.target for entry in _usable(plugin, group)}


def _usable(plugin: Plugin, group: str) -> list[Component]:
    entries = (entry for entry in plugin.entries if entry.kind == group)
    return [entry for entry in entries if entry.status is not Status.FAILED]
