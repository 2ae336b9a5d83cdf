"""The user's rules over all that is there: which of it may be used."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from dlplug.errors import PluginError
from dlplug.plugin.component import HOOKS_KIND, Component
from dlplug.plugin.control import Rule, check_names
from dlplug.plugin.names import normalised
from dlplug.plugin.plugin import Plugin
from dlplug.plugin.renames import Renames


class Narrowing:
    """What is blocked and allowed, in present names; each rule narrows what the others leave.

    Args:
        plugins: Those of a registry, whose list may grow.
        renames: What they call otherwise by now.
    """

    def __init__(self, plugins: Sequence[Plugin], renames: Renames):
        self._plugins, self._renames = plugins, renames
        self._rules: list[Rule] = []

    def add(self, rules: Iterable[Rule]) -> None:
        """Take further rules, and apply them to everything.

        Raises:
            PluginError: one holds a name that means nothing here; none is taken.
        """
        rules = [self._renewed(rule) for rule in rules]
        self.check(rules)
        self._rules += rules
        self.apply(self._entries())
        for plugin in self._plugins:
            plugin.obey(self._rules)

    def apply(self, entries: Iterable[Component]) -> None:
        """Disable what a rule forbids."""
        for entry in entries:
            entry.obey(self._rules)

    def is_news(self, rule: Rule) -> bool:
        """Whether it forbids something, and was not given before."""
        return rule not in self._rules and rule.says_something

    def options(self) -> list[str]:
        """The rules of the command line, as words of one."""
        given = [rule for rule in self._rules if rule.source.startswith("--")]
        return [f"{rule.source}={name}" for rule in given for name in rule.names]

    def check(self, rules: Iterable[Rule]) -> None:
        """Refuse a name that means nothing here; one that hooks may offer passes.

        Raises:
            PluginError: a rule holds one.
        """
        check_names(rules, self._names(), _ids(self._hooks()))

    def check_offered(
        self, components: Callable[[], Iterable[Component]], loaded: Sequence[Component]
    ) -> None:
        """Refuse what passed as a name that hooks may offer, now that they can be asked.

        Args:
            components: All of them, those that hooks offer included; called only if a rule needs
                the hooks' answer.
            loaded: The modules of hooks that answer.
        Raises:
            PluginError: a rule holds a name that nobody offers.
        """
        known = self._names()
        try:
            check_names(self._rules, known)
        except PluginError:
            silent = [entry for entry in self._hooks() if entry not in loaded]
            check_names(self._rules, known + _ids(components()), _ids(silent))

    def _renewed(self, rule: Rule) -> Rule:
        """The rule with the present ids of what it calls by an old name."""
        known = {normalised(short) for _, short in self._names()}
        names: list[str] = []
        for entry in rule.names:
            ids = self._renames.successors_of_any_kind(entry)
            # It may be the name of something else as well, which is meant too.
            names += [entry] if not ids or normalised(entry) in known else []
            names += ids
        return replace(rule, names=tuple(names))

    def _entries(self) -> list[Component]:
        return [entry for plugin in self._plugins for entry in plugin.entries]

    def _hooks(self) -> list[Component]:
        return [entry for entry in self._entries() if entry.kind == HOOKS_KIND]

    def _names(self) -> list[tuple[str, str]]:
        return _ids(self._entries()) + [(plugin.name, "") for plugin in self._plugins]


def refuse_problems(problems: Iterable[Component], plugins: Iterable[Plugin]) -> None:
    """What strict mode asks.

    Args:
        problems: Entries that somebody has to act on.
        plugins: All of them; some have problems of their own.
    Raises:
        PluginError: there is one that is not of an earlier process only.
    """
    faults = [
        f"{entry.provider}, {entry.label}: {entry.status}: {entry.reason}"
        for entry in problems
        if not entry.is_remembered
    ]
    faults += [f"{p.name} {p.version}: {p.problem}" for p in plugins if p.problem]
    if faults:
        raise PluginError(
            f"strict mode allows no problem of any plugin; found {len(faults)}: "
            + "; ".join(faults),
            fix="python -m dlplug plugins list shows each with its fix",
        )


def _ids(entries: Iterable[Component]) -> list[tuple[str, str]]:
    return [(entry.distribution, entry.name) for entry in entries]
