"""What stands in a slot that the config leaves open, in whole or in part.

Composing cannot know the task, so where arguments come without a name (``loss: {gamma: 1}``), or
where a default list is added to, it puts dlplug's default with the origin `DEFAULTS`. Once the task
is known, its own default takes that place.
"""

from collections.abc import Mapping

from dlplug.config.choice import Choice, read_choice
from dlplug.config.composition import element_name, merge
from dlplug.config.slots import Slot
from dlplug.config.tree import DEFAULTS, Node, from_plain
from dlplug.plugin import CORE


def default_of(slot: Slot, of_task: Mapping[str, object]) -> Node | None:
    """A slot's default: the task's, else dlplug's as ids.

    A plugin that uses the same name must not make every config ambiguous.

    Args:
        slot: The slot.
        of_task: The task's ``slot_defaults``.
    """
    default = of_task[slot.name] if slot.name in of_task else _own(slot.default)
    return None if default is None else from_plain(default, DEFAULTS)


def settled(node: Node, slot: Slot, default: Node | None) -> Node:
    """``node`` with ``default`` in place of what composing put there.

    Args:
        node: What the config has in the slot.
        slot: The slot.
        default: From `default_of`.
    Raises:
        UnknownKeyError: An element of dlplug's default list is addressed that this list lacks.
    """
    if not slot.is_list:
        return merge(default, _nameless(node), slot.name) if is_placeholder(node) else node
    elements = node.value if isinstance(node.value, list) else []
    placeholders = [element for element in elements if is_placeholder(element)]
    if not placeholders:
        return node
    changes = {
        str(element_name(element)): _nameless(element)
        for element in placeholders
        if isinstance(element.value, dict)
    }
    base = Node([], DEFAULTS) if default is None or default.value is None else default
    first = merge(base, Node(changes, node.origin), slot.name)
    return Node([*first.value, *(e for e in elements if e not in placeholders)], node.origin)


def is_placeholder(node: Node) -> bool:
    """Whether the component's name was put there by composing."""
    if not isinstance(node.value, str | dict):
        return False
    name = read_choice(node, "").name
    return name is not None and name.origin == DEFAULTS


def _nameless(node: Node) -> Node:
    choice = read_choice(node, "")
    if choice.arguments or choice.open_arguments:
        return Choice(None, None, choice.arguments, node, choice.open_arguments).joined()
    return Node({}, node.origin)


def _own(default: object) -> object:
    if isinstance(default, list):
        return [_own(element) for element in default]
    return f"{CORE}:{default}" if isinstance(default, str) else default
