"""Which plugins the user blocks or allows: arguments, environment, config, ``plugins disable``.

A name stands for a distribution (``acme-losses``), for every component of that name (``focal``) or
for one component (``acme-losses:focal``); distributions and names are compared normalised. Each
source narrows what the others leave: a plugin is used when nobody blocks it and everybody who
allows some plugins allows it. So a config cannot widen what the environment permits. The built-in
components need no allowing; they can be blocked.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dlplug.errors import PluginError, suggestion
from dlplug.plugin.names import normalised, split_id
from dlplug.plugin.spec import CORE


@dataclass(frozen=True)
class Rule:
    """One list of names from one source.

    Args:
        source: Where the user wrote it, such as ``DLPLUG_BLOCK`` or ``--allow``.
        blocks: True when the names are blocked, False when they alone are allowed.
        names: Distributions, component names or ids.
        undo: The command that takes a name out of a lasting rule; empty for rules of this moment.
    """

    source: str
    blocks: bool
    names: tuple[str, ...]
    undo: str = ""

    @property
    def says_something(self) -> bool:
        """Whether it can forbid anything; an empty block list cannot, an empty allow list does."""
        return bool(self.names) or not self.blocks

    def objection(self, distribution: str, name: str) -> tuple[str, str] | None:
        """Why this rule forbids ``distribution:name``, and the fix; None if it does not."""
        hit = next((entry for entry in self.names if _matches(entry, distribution, name)), None)
        if self.blocks:
            undo = f"{self.undo} {hit}" if self.undo else f"take {hit!r} out of {self.source}"
            return hit and (f"blocked by {self.source}", undo)
        if hit or distribution == CORE:
            return None
        return f"not named by {self.source}", f"add {distribution!r} to {self.source}"


def rules_from(
    block: Iterable[str], allow: Iterable[str] | None, sources: tuple[str, str]
) -> list[Rule]:
    """The rules of one source; ``allow=None`` allows everything, an empty list nothing."""
    rules = [Rule(sources[0], True, _names(block))]
    return rules if allow is None else [*rules, Rule(sources[1], False, _names(allow))]


def rules_of_environment(environment: Mapping[str, str]) -> list[Rule]:
    """The rules of DLPLUG_BLOCK and DLPLUG_ALLOW, comma separated; unset and empty mean none."""
    block, allow = (environment.get(key, "") for key in ("DLPLUG_BLOCK", "DLPLUG_ALLOW"))
    sources = ("DLPLUG_BLOCK", "DLPLUG_ALLOW")
    return rules_from(block.split(","), allow.split(",") if allow.strip() else None, sources)


def check_names(
    rules: Iterable[Rule],
    known: Iterable[tuple[str, str]],
    hooks: Iterable[tuple[str, str]] = (),
) -> None:
    """Refuse a name that blocks or allows nothing, which is most likely a typing error.

    Args:
        rules: What the user wrote; in a lasting rule a name may be that of what is not installed
            in this environment, or no more.
        known: Each (distribution, name) that exists.
        hooks: Each (distribution, name) of hooks that may offer further names; an id of such a
            distribution passes.
    Raises:
        PluginError: a rule holds a name that matches nothing installed.
    """
    known, hooks = [*known, (CORE, "")], list(hooks)
    for rule in (rule for rule in rules if not rule.undo):
        for entry in rule.names:
            if any(_matches(entry, distribution, name) for distribution, name in known):
                continue
            if _may_be_offered(rule, entry, hooks):
                continue
            distributions = sorted({distribution for distribution, _ in known})
            words = [*distributions, *(name for _, name in known)]
            ids = [f"{distribution}:{name}" for distribution, name in known if name]
            raise PluginError(
                f"no installed plugin or component is named {entry!r}",
                where=rule.source,
                known=", ".join(distributions),
                fix=suggestion(entry, ids if ":" in entry else words)
                or "remove the name, or install what provides it",
            )


def _matches(entry: str, distribution: str, name: str) -> bool:
    owner, short = split_id(entry)
    if owner is not None:
        return owner == distribution and normalised(short) == normalised(name)
    return normalised(entry) in (distribution, normalised(name))


def _may_be_offered(rule: Rule, entry: str, hooks: list[tuple[str, str]]) -> bool:
    """Whether ``entry`` is an id whose name hooks may offer, and the rule lets those hooks run."""
    owner, short = split_id(entry)
    return bool(short) and any(
        owner == distribution and (rule.blocks or rule.objection(distribution, name) is None)
        for distribution, name in hooks
    )


def _names(words: Iterable[str]) -> tuple[str, ...]:
    if isinstance(words, str):
        words = words.split(",")
    return tuple(word.strip() for word in words if word.strip())
