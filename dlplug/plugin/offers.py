"""Answers of ``dlplug_components``, read into components of the plugin that gave them."""

from collections.abc import Iterable, Mapping
from typing import Any

from dlplug.plugin.component import Component
from dlplug.plugin.hooks import Offer, hookimpl
from dlplug.plugin.names import name_problem, one_line


class Lines:
    """The entry-point lines of one distribution as a pluggy plugin; holds strings only.

    So that names from a pyproject and names from a hook come by the same way.
    """

    def __init__(self, entries: list[Component]):
        self.entries = entries

    @hookimpl
    def dlplug_components(self, kind: str) -> list[Component]:
        """Those of ``kind``."""
        return [entry for entry in self.entries if entry.kind == kind]


def components_from(answer: Any, kind: str, hook: Component) -> list[Component]:
    """The components that a plugin offers.

    Args:
        answer: What it returned: offers, or a mapping of name to target.
        kind: Plural.
        hook: The entry point of the plugin's hooks.
    Raises:
        TypeError: the answer is of another form.
        ValueError: a name cannot be used.
    """
    if isinstance(answer, Mapping):
        answer = [Offer(name, target) for name, target in answer.items()]
    if isinstance(answer, str) or not isinstance(answer, Iterable):
        raise TypeError(f"dlplug_components returned {type(answer).__name__}, not a list of Offer")
    return [_component(offer, kind, hook) for offer in answer]


def _component(offer: Any, kind: str, hook: Component) -> Component:
    try:
        name, target = offer.name, offer.target
    except AttributeError:
        raise TypeError(
            f"dlplug_components({kind!r}) returned an item of type {type(offer).__name__}, "
            "not dlplug.plugin.Offer(name, target, summary)"
        ) from None
    if fault := name_problem(name):
        raise ValueError(f"dlplug_components({kind!r}): {fault}")
    # The distribution is always the plugin's own: nobody can offer a name as somebody else.
    component = Component(kind, name, hook.distribution, hook.version, str(target))
    component.memory, component.offered_by = hook.memory, hook.id
    component.file, component.declared = hook.file, hook.declared
    component.summary = one_line(getattr(offer, "summary", ""))
    if not isinstance(target, str):
        component.accept(target)
    return component
