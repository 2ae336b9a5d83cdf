"""What stands in a slot that the config leaves open, in whole or in part.

Composing cannot know the task, so where arguments come without a name (``loss: {gamma: 1}``), or
where a default list is added to or changed, it puts placeholders: dlplug's default, or the address
of an element, with the origin `DEFAULTS`. Once the task is known, its default takes their place.
"""

from collections.abc import Mapping

from dlplug.config.choice import Choice, is_placeholder, read_choice
from dlplug.config.merging import merge, merge_elements
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
        UnknownKeyError: An element is addressed that the whole list lacks.
    """
    if not slot.is_list:
        return merge(default, _nameless(node), slot.name) if is_placeholder(node) else node
    elements = node.value if isinstance(node.value, list) else []
    placeholders = [element for element in elements if is_placeholder(element)]
    if not placeholders and node.origin != DEFAULTS:
        return node
    own = [] if default is None or default.value is None else default.value
    own = own if isinstance(own, list) else [default]
    written = [element for element in elements if not is_placeholder(element)]
    changes = {
        read_choice(element, slot.name).text: _nameless(element)
        for element in placeholders
        if isinstance(element.value, dict)
    }
    whole = Node([*own, *written], node.origin)
    return merge_elements(whole, Node(changes, node.origin), slot.name)


def _nameless(node: Node) -> Node:
    choice = read_choice(node, "")
    if choice.arguments or choice.open_arguments:
        return Choice(None, None, choice.arguments, node, choice.open_arguments).joined()
    return Node({}, node.origin)


def _own(default: object) -> object:
    if isinstance(default, list):
        return [_own(element) for element in default]
    return f"{CORE}:{default}" if isinstance(default, str) else default
