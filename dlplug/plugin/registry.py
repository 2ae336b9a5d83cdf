"""All components and plugins of this installation: found by metadata, loaded one by one.

Entry-point lines and hooks come by one way: a distribution's lines are themselves a small pluggy
plugin that answers ``dlplug_components``. Discovery reads metadata only; what is imported, and
when, is decided by `Registry.load_hooks` and `Component.load`.
"""

import os
from collections.abc import Iterable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from dlplug.errors import PluginError
from dlplug.plugin import lookup
from dlplug.plugin.acceptance import accept_file, require_accepted
from dlplug.plugin.builtins import core_plugin
from dlplug.plugin.choices import lasting_rules
from dlplug.plugin.component import HOOKS_KIND, Component
from dlplug.plugin.control import Rule, check_names, rules_from, rules_of_environment
from dlplug.plugin.distributions import find_plugins, is_installed
from dlplug.plugin.file_plugin import label_of, module_of, read_file_plugin
from dlplug.plugin.hook_runner import HookRunner
from dlplug.plugin.memory import Memory
from dlplug.plugin.names import normalised, split_id
from dlplug.plugin.plugin import Plugin, read_plugin
from dlplug.plugin.renames import Rename, Renames, judge_renames
from dlplug.plugin.spec import CORE, KINDS, kind_of


class Registry:
    """Every component by kind and name. Made by `discover`."""

    def __init__(self, plugins: list[Plugin]):
        self._plugins = plugins
        for plugin in plugins:
            judge_renames(plugin)
        self.renames = Renames(plugins)
        """Old names of components and parameters."""
        self._hooks = HookRunner(plugins)
        self._rules: list[Rule] = []
        self._memory = Memory.of_this_environment()
        self._tables: dict[str, list[Component]] = {}

    @classmethod
    def discover(
        cls,
        *,
        block: Iterable[str] = (),
        allow: Iterable[str] | None = None,
        strict: bool = False,
        distributions: Iterable[metadata.Distribution] | None = None,
        files: Iterable[str | Path] = (),
    ) -> "Registry":
        """Find what is installed. Imports no component, no torch and no lightning.

        Args:
            block: Distributions, component names or ids that are not used (``--block``). Those of
                DLPLUG_BLOCK are added.
            allow: If given, no other plugins are used (``--allow``); DLPLUG_ALLOW narrows it
                further. The built-in components need no allowing.
            strict: Any problem of any plugin is an error, for continuous integration.
            distributions: Where to look instead of ``sys.path``.
            files: Python files, or folders with an ``__init__.py``, that are plugins too
                (``--plugin``). A config of this user may name them from now on.
        Raises:
            PluginError: ``block`` or ``allow`` hold an unknown name, ``strict`` and a problem, or
                one of ``files`` cannot be read.
        """
        given = None if distributions is None else list(distributions)
        names = {normalised(one.metadata.get("Name") or "") for one in given or ()}
        installed = {}

        def is_present(name: str) -> bool:
            if name not in installed:
                installed[name] = normalised(name) in names or is_installed(name)
            return installed[name]

        registry = cls([core_plugin(), *(read_plugin(f, is_present) for f in find_plugins(given))])
        for plugin in registry._plugins:
            if plugin.name != CORE:  # the table tells more, and is never out of date
                registry._recall(plugin)
        for file in files:
            registry._add_file(file, "command line, --plugin")
            accept_file(file)
        rules = lasting_rules() + rules_of_environment(os.environ)
        registry._narrow(rules + rules_from(block, allow, ("--block", "--allow")), strict)
        return registry

    def add_files(self, files: Iterable[tuple[str, str]]) -> None:
        """Add the plugin files that a config names; before `restrict` and `load_hooks`.

        A file of the same name that `discover` was given stands in for the config's, so that a run
        can go on where its file lies elsewhere.

        Args:
            files: Each path, and where it is written.
        Raises:
            UntrustedError: the user has never named the file himself.
            PluginError: it cannot be read, or two have one name.
        """
        given = {plugin.name for plugin in self._plugins if plugin.file}
        for file, where in files:
            if label_of(file) not in given:
                require_accepted(file, where)
                self._add_file(file, where)

    def restrict(
        self,
        *,
        block: Iterable[str] = (),
        allow: Iterable[str] | None = None,
        strict: bool = False,
    ) -> None:
        """Add the rules of the config's section ``plugins``.

        Each source narrows what the others leave; none can widen it.

        Args:
            block: As in `discover`.
            allow: As in `discover`.
            strict: As in `discover`; cannot be switched off again.
        Raises:
            PluginError: as `discover`; or hooks are loaded already, which cannot be undone.
        """
        rules = rules_from(block, allow, ("plugins.block", "plugins.allow"))
        new = [rule for rule in rules if rule not in self._rules and rule.says_something]
        if self._hooks.loaded and new:
            raise PluginError(
                f"{new[0].source} comes too late: hooks are loaded already",
                fix="discover a new registry for another config",
            )
        self._narrow(rules, strict)

    def components(self, kind: str | None = None) -> list[Component]:
        """Every component of ``kind`` (either form of the word; None: of all), with its status.

        Sorted by kind and name, built-in ones first among equals. Names that hooks offer are
        there after `load_hooks`.
        """
        kinds = KINDS if kind is None else (kind_of(kind).plural,)
        return [component for plural in kinds for component in self._table(plural)]

    def names(self, kind: str) -> list[str]:
        """The names that resolve: short ones, and ids where a short name is ambiguous; sorted."""
        return lookup.usable_names(self.components(kind))

    def find(self, kind: str, name: str, *, where: str | None = None) -> Component:
        """The component called ``name``: a short name, or ``distribution:name``.

        Args:
            kind: Either form of the word: ``losses`` or ``loss``.
            name: As in the config; an old name finds what is now called otherwise, and that is
                said on standard error.
            where: File and line of the name, for the message.
        Raises:
            UnknownComponentError: nobody provides it.
            ComponentConflictError: several distributions provide it.
            ComponentLoadError: loading it has failed in this process.
            PluginError: it is disabled, incompatible or lacks an extra.
        """
        kind = kind_of(kind)
        successors = self.renames.successors(kind.plural, name)
        component = lookup.find(
            self.components(kind.plural), kind, name, where, self._static_entries(), successors
        )
        if component.name != split_id(name)[1]:
            self.renames.tell(Rename(kind.singular, name, component.name), where)
        return component

    def plugins(self) -> list[Plugin]:
        """Every distribution that offers something, dlplug itself first, then by name."""
        return list(self._plugins)

    def files(self) -> list[str]:
        """Absolute path of each plugin file, in the order in which they were given."""
        return [plugin.file for plugin in self._plugins if plugin.file]

    def entries(self) -> list[Component]:
        """`components`, then modules of hooks and lines of groups that do not exist."""
        others = [entry for entry in self._static_entries() if entry.kind not in KINDS]
        return self.components() + others

    def problems(self) -> list[Component]:
        """The entries that somebody has to act on."""
        return [entry for entry in self.entries() if entry.is_problem]

    def load_hooks(self) -> None:
        """Import and register the modules of hooks; a second call does nothing.

        Only for commands that run something. A module that fails gets a status and a line in the
        log; the others are not affected.

        Raises:
            PluginError: in strict mode, if any fails.
        """
        self._hooks.load()
        self._tables.clear()
        self._check_offered_names()
        self._check_strict()

    def hook_modules(self) -> list[Component]:
        """The modules of hooks that are in use, for a run's lock; empty before `load_hooks`."""
        return self._hooks.modules()

    def call(self, hook: str, **arguments: Any) -> list[tuple[str, Any]]:
        """Ask every plugin a hook; one that raises is left out, named and logged.

        Args:
            hook: Name, such as ``dlplug_health``.
            arguments: All of the hook's arguments; a dict is passed as a copy.
        Returns:
            (id of the plugin's entry point, its answer); answers of None are left out.
        Raises:
            PluginError: in strict mode, if an implementation raised.
        """
        return self._hooks.call(hook, **arguments)

    def fold(self, hook: str, **arguments: Any) -> Any:
        """Pass the hook's first argument from plugin to plugin, each changing what it wants.

        Args:
            hook: ``dlplug_model_built`` or ``dlplug_upgrade_config``.
            arguments: All of the hook's arguments; a dict is passed as a copy.
        Returns:
            The last answer that was not None, or the first argument.
        Raises:
            PluginError: an implementation raised; what it leaves behind may be half changed.
        """
        return self._hooks.fold(hook, **arguments)

    def check_rules(self, rules: Iterable[Rule]) -> None:
        """Refuse a name that means nothing here; imports nothing.

        Raises:
            PluginError: a rule holds one.
        """
        hooks = [e for e in self._static_entries() if e.kind == HOOKS_KIND]
        check_names(rules, self._static_names(), [(e.distribution, e.name) for e in hooks])

    def _add_file(self, file: str | Path, where: str) -> None:
        if os.path.abspath(file) in self.files():
            return
        module = module_of(file)
        twin = next((known for known in self.files() if module_of(known) == module), None)
        if twin is not None:
            raise PluginError(
                f"two plugin files would be one module, {module!r}: {twin} and {file}",
                where=where,
                fix="rename one of them: the name stands in configs and runs",
            )
        if self._hooks.loaded:
            raise PluginError(
                f"{where} comes too late: hooks are loaded already",
                fix="discover a new registry for another config",
            )
        plugin = read_file_plugin(file, where)
        self._recall(plugin)
        self._plugins.append(plugin)
        self._hooks.add(plugin)
        for entry in plugin.entries:
            entry.obey(self._rules)
        self._tables.clear()

    def _recall(self, plugin: Plugin) -> None:
        for entry in plugin.entries:
            entry.recall(self._memory)

    def _static_entries(self) -> list[Component]:
        return [entry for plugin in self._plugins for entry in plugin.entries]

    def _table(self, kind: str) -> list[Component]:
        if kind not in self._tables:
            table = self._hooks.components(kind)
            for component in table:
                component.obey(self._rules)
            lookup.settle_conflicts(table)
            order = {plugin.name: place for place, plugin in enumerate(self._plugins)}
            self._tables[kind] = sorted(table, key=lambda c: (c.name, order[c.distribution]))
        return self._tables[kind]

    def _narrow(self, rules: list[Rule], strict: bool) -> None:
        rules = [self._renewed(rule) for rule in rules]
        self.check_rules(rules)
        self._rules += rules
        self._hooks.strict = self._hooks.strict or strict
        for entry in self._static_entries():
            entry.obey(self._rules)
        for plugin in self._plugins:
            plugin.obey(self._rules)
        self._tables.clear()
        self._check_strict()

    def _renewed(self, rule: Rule) -> Rule:
        """The rule with the present ids of what it calls by an old name."""
        known = {normalised(short) for _, short in self._static_names()}
        names: list[str] = []
        for entry in rule.names:
            ids = self.renames.successors_of_any_kind(entry)
            # It may be the name of something else as well, which is meant too.
            names += [entry] if not ids or normalised(entry) in known else []
            names += ids
        return replace(rule, names=tuple(names))

    def _static_names(self) -> list[tuple[str, str]]:
        known = [(entry.distribution, entry.name) for entry in self._static_entries()]
        return known + [(plugin.name, "") for plugin in self._plugins]

    def _check_offered_names(self) -> None:
        """Refuse what passed as a name that hooks may offer, now that they have been asked."""
        known = self._static_names()
        loaded = self._hooks.modules()
        silent = [e for e in self._static_entries() if e.kind == HOOKS_KIND and e not in loaded]
        # The hooks are asked only if a rule needs their answer.
        try:
            check_names(self._rules, known)
        except PluginError:
            offered = [(entry.distribution, entry.name) for entry in self.components()]
            hooks = [(entry.distribution, entry.name) for entry in silent]
            check_names(self._rules, known + offered, hooks)

    def _check_strict(self) -> None:
        if not self._hooks.strict:
            return
        faults = [
            f"{e.provider}, {e.label}: {e.status}: {e.reason}"
            for e in self.problems()
            if not e.is_remembered
        ]
        faults += [f"{p.name} {p.version}: {p.problem}" for p in self._plugins if p.problem]
        if faults:
            raise PluginError(
                f"strict mode allows no problem of any plugin; found {len(faults)}: "
                + "; ".join(faults),
                fix="python -m dlplug plugins list shows each with its fix",
            )
