"""All components and plugins of this installation: found by metadata, loaded one by one.

Entry-point lines and hooks come by one way: a distribution's lines are themselves a small pluggy
plugin that answers ``dlplug_components``. Discovery reads metadata only; what is imported, and
when, is decided by `Registry.load_hooks` and `Component.load`.
"""

import os
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from dlplug.errors import PluginError
from dlplug.plugin import lookup
from dlplug.plugin.acceptance import accept_file, require_accepted
from dlplug.plugin.builtins import core_plugin
from dlplug.plugin.choices import lasting_rules
from dlplug.plugin.component import Component
from dlplug.plugin.control import Rule, rules_from, rules_of_environment
from dlplug.plugin.file_plugin import read_file_plugin, refuse_twins
from dlplug.plugin.hook_runner import HookRunner
from dlplug.plugin.index import Index
from dlplug.plugin.memory import Memory
from dlplug.plugin.names import split_id
from dlplug.plugin.narrowing import Narrowing, refuse_problems
from dlplug.plugin.plugin import Plugin, installed_plugins
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
        self._hooks = HookRunner(plugins, Index.of_this_environment())
        self._narrowing = Narrowing(self._plugins, self.renames)
        self._named_by_user: list[Plugin] = []
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
            strict: Any problem of any plugin is an error, for continuous integration; of a module
                of hooks, once it is asked.
            distributions: Where to look instead of ``sys.path``.
            files: Python files, or folders with an ``__init__.py``, that are plugins too
                (``--plugin``). A config of this user may name them once `load_hooks` has let
                their code run.
        Raises:
            PluginError: ``block`` or ``allow`` hold an unknown name, ``strict`` and a problem, or
                one of ``files`` cannot be read.
        """
        registry = cls([core_plugin(), *installed_plugins(distributions)])
        for plugin in registry._plugins:
            if plugin.name != CORE:  # the table tells more, and is never out of date
                registry._recall(plugin)
        for file in files:
            registry._named_by_user += registry._add_file(file, "command line, --plugin")
        rules = lasting_rules() + rules_of_environment(os.environ)
        # Not before the config is read, which may block what would be asked.
        registry._hooks.may_ask = False
        registry._narrow(rules + rules_from(block, allow, ("--block", "--allow")), strict)
        registry._hooks.may_ask = True
        registry._tables.clear()
        return registry

    def ask_nothing(self) -> None:
        """Take names that hooks offer from what is remembered only; until `load_hooks`."""
        self._hooks.may_ask = False
        self._tables.clear()

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
        # Not the labels: whether a path is a folder cannot be told once it is gone.
        given = {os.path.basename(file) for file in self.files()}
        for file, where in files:
            if os.path.basename(os.path.abspath(file)) not in given:
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
        new = [rule for rule in rules if self._narrowing.is_news(rule)]
        if self._hooks.loaded and new:
            raise PluginError(
                f"{new[0].source} comes too late: hooks are loaded already",
                fix="discover a new registry for another config",
            )
        self._narrow(rules, strict)

    def components(self, kind: str | None = None) -> list[Component]:
        """Every component of ``kind`` (either form of the word; None: of all), with its status.

        Sorted by kind and name, built-in ones first among equals. Of names that hooks offer those
        are there that the index knows; all of them after `load_hooks`.
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

    def options(self) -> list[str]:
        """What `discover` was told, as words of a command line: ``--plugin=mine.py``."""
        return [f"--plugin={p.file}" for p in self._named_by_user] + self._narrowing.options()

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
        log; the others are not affected. Configs may name the files that `discover` was given from
        now on: listing them or completing a name runs nothing, and accepts nothing.

        Raises:
            PluginError: in strict mode, if any fails.
        """
        for plugin in self._named_by_user:
            if not all(entry.refuses for entry in plugin.entries):
                accept_file(plugin.file)
        self._hooks.load()
        self._tables.clear()
        self._narrowing.check_offered(self.components, self._hooks.modules())
        self._check_strict()

    def hook_modules(self) -> list[Component]:
        """The modules of hooks that are in use, for a run's lock; empty before `load_hooks`."""
        return self._hooks.modules()

    def names_are_known(self) -> bool:
        """Whether `components` holds all that hooks offer, be it from the index."""
        return self._hooks.names_are_known()

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
        self._narrowing.check(rules)

    def _add_file(self, file: str | Path, where: str) -> list[Plugin]:
        """The new plugin, or nothing where the file is known already."""
        if os.path.abspath(file) in self.files():
            return []
        refuse_twins(file, self.files(), where)
        if self._hooks.loaded:
            raise PluginError(
                f"{where} comes too late: hooks are loaded already",
                fix="discover a new registry for another config",
            )
        plugin = read_file_plugin(file, where)
        self._recall(plugin)
        self._plugins.append(plugin)
        self._hooks.add(plugin)
        self._narrowing.apply(plugin.entries)
        self._tables.clear()
        return [plugin]

    def _recall(self, plugin: Plugin) -> None:
        for entry in plugin.entries:
            entry.recall(self._memory)

    def _static_entries(self) -> list[Component]:
        return [entry for plugin in self._plugins for entry in plugin.entries]

    def _table(self, kind: str) -> list[Component]:
        if kind not in self._tables:
            table = self._hooks.components(kind)
            self._narrowing.apply(table)
            lookup.settle_conflicts(table)
            order = {plugin.name: place for place, plugin in enumerate(self._plugins)}
            self._tables[kind] = sorted(table, key=lambda c: (c.name, order[c.distribution]))
        return self._tables[kind]

    def _narrow(self, rules: list[Rule], strict: bool) -> None:
        self._narrowing.add(rules)
        self._hooks.strict = self._hooks.strict or strict
        self._tables.clear()
        self._check_strict()

    def _check_strict(self) -> None:
        if self._hooks.strict:
            refuse_problems(self.problems(), self._plugins)
