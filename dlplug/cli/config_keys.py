"""Completion of ``--KEY VALUE``: keys of a config, names that fit a key, and their arguments."""

from collections.abc import Iterator
from contextlib import suppress

from dlplug.config.composed import compose
from dlplug.config.facts import Argument
from dlplug.config.facts_cache import FactsCache
from dlplug.config.merging import element_name
from dlplug.config.slots import COMPONENT_SLOTS, SLOTS, Slot
from dlplug.config.tree import Node
from dlplug.errors import DlplugError
from dlplug.plugin import Component, Registry
from dlplug.plugin.families import Family, folded

Pairs = Iterator[tuple[str, str]]


class ConfigKeys:
    """What is known of a config from the line that is being written, and the files it names.

    Args:
        words: Behind the command, without the one being written.
        registry: What is installed.
    """

    def __init__(self, words: list[str], registry: Registry):
        self.registry = registry
        self.cache = FactsCache.of_this_environment()
        self.slots = _slots_of(words)

    def keys(self, current: str) -> Pairs:
        """Flags that begin with ``current``, and what each is; dotted ones once there is a dot."""
        slot_name, dot, rest = current.removeprefix("--").partition(".")
        if dot and slot_name in SLOTS:
            yield from self._dotted(SLOTS[slot_name], rest)
            return
        for slot in SLOTS.values():
            if slot.name != "trainer" and slot.name != "plugins":
                yield f"--{slot.name}", slot.summary
            if slot.is_list:
                yield f"--{slot.name}+", f"append to {slot.name}"
            if slot.kind or slot.name == "trainer":
                yield f"--{slot.name}.", f"arguments of the {slot.name}"

    def values(self, last: str, current: str) -> list[tuple[str, str]] | None:
        """What fits the key before the cursor; None when there stands none.

        Args:
            last: The word before the one being written.
            current: The word being written; may hold key and value, ``--loss=fo``.
        """
        prefix = ""
        key, has_value, text = current.partition("=")
        if has_value:
            prefix = f"{key}="
        elif not last.startswith("--") or "=" in last:
            return None
        else:
            key, text = last, current
        slot_name, _, rest = key.removeprefix("--").partition(".")
        slot = SLOTS.get(slot_name.removesuffix("+"))
        if slot is None or not key.startswith("--"):
            return None
        return [(prefix + value, about) for value, about in self._fitting(slot, rest, text)]

    def _fitting(self, slot: Slot, rest: str, text: str) -> Pairs:
        if rest in ("", "help", "name"):
            if slot.kind:
                yield from names_of(self.registry, slot.kind, text)
            return
        argument = self._argument(slot, rest)
        if argument is None:
            return
        if argument.kind:
            yield from names_of(self.registry, argument.kind, text)
        for value in _enumerated(argument.schema):
            yield value, ""

    def _dotted(self, slot: Slot, rest: str) -> Pairs:
        head = f"--{slot.name}."
        if slot.kind or slot.name == "trainer":
            yield f"{head}help", "what can be set"
        if not slot.is_list:
            for argument in self._arguments(slot, self._chosen(slot)):
                yield from _flags(head, argument)
            return
        element, dot, _ = rest.partition(".")
        if not dot:
            yield from ((f"{head}{name}.", "its arguments") for name in self._elements(slot))
            return
        for argument in self._arguments(slot, element):
            yield from _flags(f"{head}{element}.", argument)

    def _argument(self, slot: Slot, rest: str) -> Argument | None:
        element, dot, name = rest.partition(".")
        if not (slot.is_list and dot):
            element, name = self._chosen(slot), rest
        name = name.removesuffix("+")
        return next((a for a in self._arguments(slot, element) if a.name == name), None)

    def _arguments(self, slot: Slot, name: str | None) -> tuple[Argument, ...]:
        if slot.name == "trainer":
            return self.cache.remembered_trainer()
        if slot.kind is None or name is None:
            return ()
        with suppress(DlplugError):
            component = self.registry.find(slot.kind, name)
            facts = self.cache.remembered(slot.kind, component.id)
            return (facts and facts.arguments) or ()
        return ()

    def _chosen(self, slot: Slot) -> str | None:
        """The component that the line, or its files, put into a slot."""
        node = self.slots.get(slot.name)
        return _name(node) if node is not None else slot.default

    def _elements(self, slot: Slot) -> list[str]:
        node = self.slots.get(slot.name)
        elements = node.value if node is not None and isinstance(node.value, list) else []
        return [name for name in map(element_name, elements) if name] or slot.default


def names_of(registry: Registry, kind: str, text: str) -> Pairs:
    """Names of a kind, and their summaries.

    Args:
        registry: What is installed.
        kind: Either form of the word.
        text: What is written of the name; with a colon in it, ids are offered.
    """
    known: dict[str, Component] = {}
    # A blocked component may have the name of one that can be used.
    usable = (c for c in registry.components(kind) if c.is_candidate and not c.refuses)
    for component in usable:
        known |= {component.name: component, component.id: component}
    names = registry.names(kind)
    names_by_component = {known[name]: name for name in names}
    if ":" in text:
        names = sorted({*names, *(known[name].id for name in names)})
        yield from ((name, known[name].summary) for name in names)
        return
    for item in folded(known[name] for name in names):
        # A thousand names come once their first word stands.
        if isinstance(item, Family) and not text.startswith(f"{item.word}."):
            yield f"{item.word}.", f"{len(item.members):,} names"
            continue
        for component in item.members if isinstance(item, Family) else [item]:
            yield names_by_component[component], component.summary


def _slots_of(words: list[str]) -> dict[str, Node]:
    """What stands in the slots, from ``--config FILE`` and ``--SLOT NAME``; unknown if wrong."""
    files, overrides = [], []
    for word, following in zip(words, [*words[1:], ""], strict=False):
        flag, has_value, value = word.partition("=")
        value = value if has_value else following
        name = flag.removeprefix("--")
        if flag == "--config":
            files.append(value)
        elif flag.startswith("--") and name.removesuffix("+") in COMPONENT_SLOTS:
            overrides.append((name, value))
    for given in (files, []):
        # A file that is wrong must not hide what the line itself says.
        with suppress(DlplugError):
            return compose(given, overrides).tree.value
    return {}


def _name(node: Node) -> str | None:
    value = node.value
    if isinstance(value, dict) and "name" in value:
        value = value["name"].value
    return value if isinstance(value, str) else None


def _flags(head: str, argument: Argument) -> Pairs:
    about = f"{argument.type}: {argument.doc}" if argument.doc else argument.type
    yield f"{head}{argument.name}", about


def _enumerated(schema: dict) -> list[str]:
    """The words that a schema lists."""
    found: list[str] = []
    for choice in (schema, *schema.get("anyOf", ())):
        found += [str(value) for value in choice.get("enum", ()) if value is not None]
        types = choice.get("type", ())
        if "boolean" in ([types] if isinstance(types, str) else types):
            found += ["true", "false"]
    return list(dict.fromkeys(found))
