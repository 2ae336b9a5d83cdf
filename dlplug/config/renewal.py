"""Old names in a config, replaced by the present ones before anything is looked up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dlplug.config.choice import RESERVED
from dlplug.config.kinds import COMPONENT_WORDS
from dlplug.config.slots import COMPONENT_SLOTS
from dlplug.config.tree import DEFAULTS, Node, Origin, from_plain
from dlplug.errors import InvalidValueError
from dlplug.plugin import KINDS, Registry
from dlplug.plugin.names import split_id
from dlplug.plugin.renames import Rename


@dataclass(frozen=True)
class Change:
    """One word of a config that is now another one.

    Attributes:
        path: Keys and indices of the value, as they stand in the config.
        is_key: The word is the last key of the path; else it is the value.
        new: What belongs there.
    """

    path: tuple[str, ...]
    is_key: bool
    new: str


def renewed(config: Node, registry: Registry, is_settled: bool = False) -> Node:
    """A config, or part of one that begins at the top level, in present names.

    What is replaced is said on standard error, once for each name in a program.

    Args:
        config: A mapping of slots.
        registry: Knows who was called what.
        is_settled: Defaults are what they will be, and arguments given without a name are theirs.
    Raises:
        InvalidValueError: an argument stands there under both of its names.
    """
    return renewal(config, registry, is_settled)[0]


def renewed_plain(config: Mapping[str, Any], registry: Registry, source: str) -> dict[str, Any]:
    """`renewed` for plain data, such as the resolved config in a checkpoint."""
    return renewed(from_plain(dict(config), Origin(source)), registry).plain()


def renewal(
    config: Node, registry: Registry, is_settled: bool = False
) -> tuple[Node, list[Change]]:
    """The config in present names, and where it differs from the one given."""
    work = _Renewal(registry, is_settled)
    values = {}
    for key, node in config.value.items():
        slot = COMPONENT_SLOTS.get(str(key).removesuffix("+"))
        values[key] = node if slot is None else work.value(slot.kind, node, (str(key),))
    return Node(values, config.origin), work.changes


@dataclass
class _Renewal:
    registry: Registry
    is_settled: bool = False
    changes: list[Change] = field(default_factory=list)

    def value(self, kind: str, node: Node, path: tuple[str, ...]) -> Node:
        """What stands where components of ``kind`` are named, in any spelling."""
        if isinstance(node.value, str):
            return self.name(kind, node, path)
        if isinstance(node.value, list):
            elements = [self.value(kind, e, (*path, str(i))) for i, e in enumerate(node.value)]
            return Node(elements, node.origin)
        if not isinstance(node.value, dict) or "class_path" in node.value:
            return node
        if "name" in node.value:
            return self.component(kind, node, path)
        return self.elements(kind, node, path)

    def name(self, kind: str, node: Node, path: tuple[str, ...], is_key: bool = False) -> Node:
        """A word that names a component."""
        successors = self.registry.renames.successors(kind, node.value)
        if len(successors) != 1:
            return node  # several: `Registry.find` says so
        known = [c for c in self.registry.components(kind) if c.name == split_id(node.value)[1]]
        if known and ":" not in node.value:
            return node
        new = successors[0] if ":" in node.value else self._short(kind, successors[0])
        rename = Rename(KINDS[kind].singular, node.value, new)
        self.registry.renames.tell(rename, str(node.origin))
        self.changes.append(Change(path, is_key, new))
        return Node(new, node.origin, new)

    def component(self, kind: str, node: Node, path: tuple[str, ...]) -> Node:
        """A mapping with a name and arguments."""
        given = node.value["name"]
        if not isinstance(given.value, str):
            return node
        name = self.name(kind, given, (*path, "name"))
        if name.origin == DEFAULTS and not self.is_settled:
            return node  # a placeholder: the task may have another default
        values = dict(node.value) | {"name": name}
        inner = values.get("init_args")
        if inner is not None and isinstance(inner.value, dict):
            arguments = self.arguments(kind, name, inner.value, (*path, "init_args"))
            values["init_args"] = Node(arguments, inner.origin)
        return Node(self.arguments(kind, name, values, path, RESERVED), node.origin)

    def elements(self, kind: str, node: Node, path: tuple[str, ...]) -> Node:
        """Changes of a list's elements by name, ``callbacks: {ema: {decay: 0.9}}``."""
        values = {}
        for key, element in node.value.items():
            name = Node(str(key), element.origin)
            if path[-1] in COMPONENT_SLOTS and COMPONENT_SLOTS[path[-1]].is_list:
                place = (*path, str(key))
                name = self.name(kind, name, place, is_key=True)
                if isinstance(element.value, dict) and "name" not in element.value:
                    arguments = self.arguments(kind, name, element.value, place)
                    element = Node(arguments, element.origin)
            values[name.value if name.value != str(key) else key] = element
        return Node(values, node.origin)

    def arguments(
        self,
        kind: str,
        name: Node,
        given: Mapping[str, Node],
        path: tuple[str, ...],
        others: tuple[str, ...] = (),
    ) -> dict[str, Node]:
        """Arguments of the component called ``name``; keys in ``others`` are none."""
        parameters = self._parameters(kind, name.value)
        values: dict[str, Node] = {}
        for key, node in given.items():
            if key in others:
                values[key] = node
                continue
            word = str(key)
            bare = word.removesuffix("+")
            new = parameters.get(bare, bare) + word[len(bare) :]
            if new != word:
                self._replaced(kind, name, word, new, given, (*path, word))
            nested = COMPONENT_WORDS.get(new.removesuffix("+"))
            # Of both names, given in different places, the one that was laid on top stands last.
            values[new if new != word else key] = (
                self.value(nested, node, (*path, word)) if nested else node
            )
        return values

    def _replaced(self, kind, name, old, new, given, path) -> None:
        node = given[old]
        if new in given and given[new].origin.source == node.origin.source:
            raise InvalidValueError(
                f"the argument {old!r} is now called {new!r}, and both are given",
                where=f"{node.origin} and {given[new].origin}, {'.'.join(path)}",
                fix=f"delete {old!r}",
            )
        what = f"the argument of {KINDS[kind].singular} {name.value!r}"
        self.registry.renames.tell(Rename(what, old, new), str(node.origin))
        self.changes.append(Change(path, True, new))

    def _parameters(self, kind: str, name: str) -> dict[str, str]:
        owner, short = split_id(name)
        # Modules of plugins are asked for their components only if there is a reason: the config
        # that is being read may block them.
        if not self.registry.renames.has_parameters(kind, short):
            return {}
        owners = [
            c.id
            for c in self.registry.components(kind)
            if c.name == short and owner in (None, c.distribution) and c.is_candidate
        ]
        return self.registry.renames.parameters(kind, owners[0]) if len(owners) == 1 else {}

    def _short(self, kind: str, component_id: str) -> str:
        """The short name where it is nobody else's."""
        short = component_id.partition(":")[2]
        same = [c for c in self.registry.components(kind) if c.name == short and c.is_candidate]
        return short if len(same) <= 1 else component_id
