"""Families of names: what one module of hooks offers under one first word, ``timm.resnet50``.

A list of a thousand names tells less than the line ``timm.*``. So wherever names are shown to be
looked through, a large family stands as one; wherever one is meant, each counts by itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from dlplug.plugin.component import Component

FOLDED_FROM = 12
"""Names from which a family is shown as one: fewer are sooner read than asked for."""


@dataclass(frozen=True)
class Family:
    """Components of one kind.

    Attributes:
        word: Their first word, ``timm``.
        members: In their order; at least one.
    """

    word: str
    members: tuple[Component, ...]

    @property
    def pattern(self) -> str:
        """What stands for all of them in a list: ``timm.*``."""
        return f"{self.word}.*"


def folded(components: Iterable[Component]) -> list[Component | Family]:
    """The components, with each large family in place of its first member."""
    groups: dict[tuple[str, ...], list[Component]] = {}
    for component in components:
        word, dot, _ = component.name.partition(".")
        # Only a hook's names are many; an entry point's are its author's choice, one by one.
        is_of_family = component.offered_by and dot
        own = () if is_of_family else (str(id(component)),)
        key = (component.kind, component.offered_by, word, *own)
        groups.setdefault(key, []).append(component)
    found: list[Component | Family] = []
    for (_, _, word, *_), members in groups.items():
        is_large = len(members) >= FOLDED_FROM
        found += [Family(word, tuple(members))] if is_large else members
    return found


def folded_names(components: Iterable[Component], names: Iterable[str]) -> list[str]:
    """The names in their order, with ``timm.* (1,371 names)`` in place of a large family.

    Args:
        components: Of one kind.
        names: Of the components, short names or ids; only these count.
    """
    kept = list(names)
    wanted, words = set(kept), {}
    for item in folded(c for c in components if c.name in wanted):
        if isinstance(item, Family):
            text = f"{item.pattern} ({len(item.members):,} names)"
            words |= dict.fromkeys((member.name for member in item.members), text)
    return list(dict.fromkeys(words.get(name, name) for name in kept))
