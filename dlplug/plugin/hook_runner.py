"""Loading the plugins' hooks and asking them, with every failure put down to its plugin."""

import copy
import logging
from collections.abc import Iterable
from typing import Any

from dlplug.errors import PluginError
from dlplug.plugin.component import HOOKS_KIND, Component
from dlplug.plugin.failure import cause_of
from dlplug.plugin.hooks import Offer
from dlplug.plugin.index import Index, Module, Offers
from dlplug.plugin.manager import Manager
from dlplug.plugin.narrowing import refuse_problems
from dlplug.plugin.offers import Lines, components_from
from dlplug.plugin.plugin import Plugin
from dlplug.plugin.spec import KINDS, PRESETS
from dlplug.plugin.status import Status

_log = logging.getLogger("dlplug.plugin")
BEFORE_CONFIG = ("commands", PRESETS)
"""Kinds that are looked up before a config is read, which may block what would be asked."""


class HookRunner:
    """The hooks of all plugins, the generated ones for entry-point lines included.

    Args:
        plugins: In the order in which they are asked.
        index: What modules of hooks offered when they were last asked.
    """

    def __init__(self, plugins: Iterable[Plugin], index: Index):
        self.manager = Manager()
        self.index = index
        self.strict = False
        self.loaded = False
        self.may_ask = True
        """Whether modules of the index may be asked before `load`."""
        self._plugins = list(plugins)
        self._entries: dict[str, Component] = {}
        for plugin in reversed(self._plugins):  # pluggy asks the last one first
            self.manager.register(Lines(plugin.entries), plugin.name)

    def add(self, plugin: Plugin) -> None:
        """One more plugin, whose hooks are asked last; before `load`."""
        self._plugins.append(plugin)
        self.manager.register(Lines(plugin.entries), plugin.name)

    def load(self) -> None:
        """Import and register every module of hooks that is not disabled, once."""
        if self.loaded:
            return
        self.loaded = True
        for name in self._entries:  # those of the index take their place among the others
            self.manager.unregister(name=name)
        self._entries.clear()
        imported: list[Component] = []
        for entry, _ in self._modules():
            if self._import(entry) and _is_new(entry, imported):
                imported.append(entry)
        for entry in reversed(imported):  # pluggy asks the last one first
            self._register(entry)
        self._keep_answers()

    def modules(self) -> list[Component]:
        """The entry points whose hooks are registered; empty before `load`."""
        return sorted(self._entries.values(), key=lambda entry: entry.id) if self.loaded else []

    def components(self, kind: str) -> list[Component]:
        """What lines and hooks offer of ``kind`` (plural), new objects for what hooks offer.

        Before `load`, names of the index stand for what hooks offer.
        """
        if not self.loaded and self.may_ask and kind not in BEFORE_CONFIG:
            self._ask_unknown()
        answers = self._answers(kind)
        if self.loaded:
            for name, entry, requires in self._heard():
                self.index.renew(entry, requires, kind, _offers(answers.get(name, ())))
        found = [component for offered in answers.values() for component in offered]
        return found if self.loaded else found + self.index.components(self._silent(), kind)

    def names_are_known(self) -> bool:
        """Whether every module of hooks was asked that may be, now or by an earlier process."""
        return all(self.index.recall(*module) is not None for module in self._silent())

    def _modules(self) -> list[Module]:
        """The entry point of each module that may be used, with what its distribution requires."""
        entries = [(e, p.requires) for p in self._plugins for e in p.entries]
        return [m for m in entries if m[0].kind == HOOKS_KIND and not m[0].refuses]

    def _silent(self) -> list[Module]:
        """The modules that were not asked in this process; of lines with one target the first."""
        asked = {entry.target for entry in self._entries.values()}
        first: dict[str, Module] = {}
        for entry, requires in self._modules():
            first.setdefault(entry.target, (entry, requires))
        return [module for target, module in first.items() if target not in asked]

    def _heard(self) -> list[tuple[str, Component, tuple[str, ...]]]:
        """Registered name and module of those that were asked, and have answered."""
        names = {entry: name for name, entry in self._entries.items()}
        return [
            (names[entry], entry, requires)
            for entry, requires in self._modules()
            if entry in names and entry.error is None
        ]

    def _ask_unknown(self) -> None:
        """Import the modules that cost nothing, where nobody knows what they offer.

        Raises:
            PluginError: in strict mode, if one has a problem.
        """
        asked: list[Component] = []
        for entry, requires in self._silent():
            # One that has failed is tried again by commands that run something.
            is_due = entry.is_index and entry.status is Status.AVAILABLE
            if not is_due or self.index.recall(entry, requires) is not None:
                continue
            if self._import(entry) and _is_new(entry, self._entries.values()):
                self._register(entry)
            asked.append(entry)
        self._keep_answers()
        if self.strict:
            refuse_problems((entry for entry in asked if entry.is_problem), ())

    def _keep_answers(self) -> None:
        """Write into the index what is asked for the first time, or of other versions.

        All kinds or none: what stands there counts as all that a module offers.
        """
        if all(self.index.recall(*module) is not None for _, *module in self._heard()):
            return
        offers: dict[str, Offers] = {name: {} for name in self._entries}
        for kind in KINDS:
            for name, offered in self._answers(kind).items():
                if name in offers:
                    offers[name][kind] = _offers(offered)
        for name, entry, requires in self._heard():
            self.index.record(entry, requires, offers[name])

    def _answers(self, kind: str) -> dict[str, list[Component]]:
        """What each registered plugin offers of a kind, by the name under which it is."""
        offered: dict[str, list[Component]] = {}
        for name, answer in self.manager.call("dlplug_components", self._blame, kind=kind):
            try:
                entry = self._entries.get(name)
                found = components_from(answer, kind, entry) if entry else answer
            except Exception as error:
                self._blame(name, "dlplug_components", error)
            else:
                offered.setdefault(name, []).extend(found)
        return offered

    def call(self, hook: str, **arguments: Any) -> list[tuple[str, Any]]:
        """See `Registry.call`."""
        return self.manager.call(hook, self._blame, **_copies(arguments))

    def fold(self, hook: str, **arguments: Any) -> Any:
        """See `Registry.fold`."""
        return self.manager.fold(hook, self._stop, **_copies(arguments))

    def _import(self, entry: Component) -> bool:
        try:
            entry.load()
        except PluginError:
            self._warn(entry)
            return False
        return True

    def _register(self, entry: Component) -> None:
        # Two lines of one distribution may have the same name; both count.
        name = entry.id if entry.id not in self._entries else f"{entry.id} = {entry.target}"
        try:
            self.manager.add(entry.value, name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the checks run code of the plugin, such as __getattr__
            entry.fail(error, _told(error))
            self._warn(entry)
        else:
            self._entries[name] = entry

    def _warn(self, entry: Component) -> None:
        _log.warning("hooks of %s are not used: %s", entry.provider, entry.reason)

    def _blame(self, name: str, hook: str, error: BaseException) -> None:
        """Contain a failure: the plugin gets the status, the others go on."""
        if self.strict:
            self._stop(name, hook, error)
        entry = self._note(name, hook, error)
        _log.warning("%s: %s", entry.provider, entry.reason)

    def _stop(self, name: str, hook: str, error: BaseException) -> None:
        entry = self._note(name, hook, error)
        raise PluginError(
            f"{entry.provider}: {entry.reason}", where=entry.entry_point, fix=entry.fix
        ) from error

    def _note(self, name: str, hook: str, error: BaseException) -> Component:
        entry = self._entries[name]
        entry.fail(error, f"{hook} raised {cause_of(error)}")
        return entry


def _offers(components: Iterable[Component]) -> list[Offer]:
    return [Offer(c.name, c.target, c.summary) for c in components]


def _is_new(entry: Component, others: Iterable[Component]) -> bool:
    """Whether no other entry point names the same module; else ``entry`` is in conflict."""
    twin = next((other for other in others if other.value is entry.value), None)
    if twin is not None:
        entry.status = Status.CONFLICT
        entry.reason = f"its hooks are those of {twin.id}, which are registered"
        entry.fix = f"block one: --block {entry.id}"
    return twin is None


def _told(error: BaseException) -> str:
    """A failed check in one line, for a status."""
    if not isinstance(error, PluginError):
        return cause_of(error)
    hint = error.fix or (f"known: {error.known}" if error.known else None)
    return f"{error.what}; {hint}" if hint else error.what


def _copies(arguments: dict[str, Any]) -> dict[str, Any]:
    # A plugin that changes the dict that it was given must not change the caller's config.
    return {
        key: copy.deepcopy(value) if isinstance(value, dict) else value
        for key, value in arguments.items()
    }
