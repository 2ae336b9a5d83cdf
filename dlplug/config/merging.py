"""Laying one config over another: the later value wins, a new component drops old arguments."""

from dlplug.config.choice import Choice, is_placeholder, read_choice, same_name
from dlplug.config.slots import COMPONENT_SLOTS, SLOTS, component_kind
from dlplug.config.tree import DEFAULTS, Node, from_plain
from dlplug.errors import ConfigError, UnknownKeyError, suggestion


def merge(base: Node | None, over: Node, key: str = "") -> Node:
    """``base`` with ``over`` laid on top.

    Mappings merge key by key. A list replaces a list; ``key+`` appends to it, and a mapping over a
    list addresses its elements by index or by name. Naming another component than ``base`` does
    drops the arguments of the old one.

    Args:
        base: The earlier value, or None.
        over: The later value.
        key: Dotted key of both; empty for whole configs.
    Raises:
        UnknownKeyError: An element is addressed that the written list does not have.
    """
    names_component = component_kind(key) and base is not None and _holds_component(base)
    if names_component and isinstance(over.value, str | dict):
        return _merge_choices(read_choice(base, key), read_choice(over, key), key)
    if not isinstance(over.value, dict):
        return over
    if base is None or (base.value is None and _is_list_slot(key)):
        base = _default_list(key) if base is None else Node([], base.origin)
    if base is not None and isinstance(base.value, list) and not _holds_component(over):
        return merge_elements(base, over, key, _is_open(base, key))
    merged = dict(base.value) if base is not None and isinstance(base.value, dict) else {}
    return Node(_merge_children(merged, over.value, key), over.origin)


def _merge_children(merged: dict, over: dict[str, Node], key: str) -> dict:
    if _named(merged, over):
        merged = {}
    # What replaces a list comes before what is appended to it, wherever it stands.
    for name, value in sorted(over.items(), key=lambda item: str(item[0]).endswith("+")):
        if isinstance(name, str) and name.endswith("+") and len(name) > 1:
            name = name[:-1]
            merged[name] = _appended(merged.get(name), value, f"{key}.{name}".lstrip("."))
        else:
            merged[name] = merge(merged.get(name), value, f"{key}.{name}".lstrip("."))
    return merged


def _named(old: dict, new: dict) -> bool:
    """Whether ``new`` names another class than ``old``, as in ``trainer.strategy.class_path``."""
    paths = [values["class_path"].value for values in (old, new) if "class_path" in values]
    return len(paths) == 2 and paths[0] != paths[1]


def _holds_component(node: Node) -> bool:
    if isinstance(node.value, dict):
        return "name" in node.value or "class_path" in node.value
    return isinstance(node.value, str)


def _merge_choices(old: Choice, new: Choice, key: str) -> Node:
    if new.word is None:
        word, name = old.word, old.name
    else:
        is_same = old.word == new.word and same_name(old.text, new.text)
        if not is_same:
            return new.joined() if isinstance(new.node.value, dict) else new.node
        # `acme:vit` says more than `vit`.
        word, name = new.word, old.name if ":" in old.text and ":" not in new.text else new.name
    arguments = _merge_children(dict(old.arguments), new.arguments, key)
    open_arguments = _merge_children(dict(old.open_arguments), new.open_arguments, key)
    merged = Choice(word, name, arguments, new.node, open_arguments)
    if isinstance(old.node.value, str) and not arguments and not open_arguments:
        return name
    return merged.joined()


def normalised(config: Node) -> Node:
    """``config`` in the form that `merge` wants below another one.

    A slot that gives arguments alone gets its default's name (``optimizer: {lr: 1}``), so that
    another name drops them; a slot for several components holds a list. A name that nobody wrote
    has the origin `DEFAULTS`: the task may have a default of its own.
    """
    values = dict(config.value)
    for name, slot in COMPONENT_SLOTS.items():
        value = values.get(name)
        if value is None or value.value is None:
            continue
        if slot.is_list and (isinstance(value.value, str) or _holds_component(value)):
            values[name] = Node([value], value.origin)
        is_nameless = isinstance(value.value, dict) and not _holds_component(value)
        if is_nameless and isinstance(slot.default, str):
            name_node = Node(slot.default, DEFAULTS)
            values[name] = Node({"name": name_node, **value.value}, value.origin)
    return Node(values, config.origin)


def _default_list(key: str) -> Node | None:
    """What stands in a slot for several components before anything is said."""
    return from_plain(SLOTS[key].default, DEFAULTS) if _is_list_slot(key) else None


def _is_list_slot(key: str) -> bool:
    return key in SLOTS and SLOTS[key].is_list


def _is_open(node: Node, key: str) -> bool:
    """Whether a slot's list begins with defaults, which are known only when the task is."""
    begins_with_defaults = node.origin == DEFAULTS or any(map(is_placeholder, node.value))
    return _is_list_slot(key) and begins_with_defaults


def _appended(base: Node | None, value: Node, key: str) -> Node:
    base = _default_list(key) if base is None else base
    added = value.value if isinstance(value.value, list) else [value]
    if base is None or base.value is None:
        return Node(added, value.origin)
    if not isinstance(base.value, list):
        return Node([base, *added], value.origin)
    origin = DEFAULTS if _is_open(base, key) else value.origin
    return Node([*base.value, *added], origin)


def merge_elements(base: Node, over: Node, key: str, is_open: bool = False) -> Node:
    """A list with changes laid over its elements.

    Args:
        base: The list.
        over: Changes by the index or name of an element.
        key: Dotted key of the list.
        is_open: Defaults are to come: arguments for an element that is not there yet wait in a
            placeholder, for `dlplug.config.defaults.settled`.
    Raises:
        UnknownKeyError: An element is addressed that the list does not have.
        ConfigError: Several elements have that name.
    """
    elements = list(base.value)
    for address, value in over.value.items():
        names = [element_name(element) for element in elements]
        is_argument = isinstance(value.value, dict) and not _holds_component(value)
        if is_open and is_argument and names.count(str(address)) != 1:
            name = Node(str(address), DEFAULTS)
            elements.append(Node({"name": name, **value.value}, value.origin))
            continue
        index = _index(names, str(address), key, value)
        elements[index] = merge(elements[index], value, f"{key}.{index}")
    return Node(elements, base.origin)


def _index(names: list[str | None], address: str, key: str, value: Node) -> int:
    where = f"{value.origin}, {key}.{address}"
    if names.count(address) == 1:
        return names.index(address)
    if address.isdecimal() and int(address) < len(names):
        return int(address)
    if address in names:
        indices = ", ".join(str(i) for i, name in enumerate(names) if name == address)
        raise ConfigError(
            f"{key} has several elements called '{address}'",
            where=where,
            fix=f"address one by its index: {indices}",
        )
    known = [name for name in names if name]
    raise UnknownKeyError(
        f"{key} has no element '{address}'",
        where=where,
        known=", ".join(known) or "the list is empty",
        fix=suggestion(address, known) or f"add it: --{key}+ {address}",
    )


def element_name(element: Node) -> str | None:
    """Short name by which an element of a list is addressed: its name, or its class's name."""
    if isinstance(element.value, dict):
        for word, separator in (("name", ":"), ("class_path", ".")):
            named = element.value.get(word)
            if named is not None and isinstance(named.value, str):
                return named.value.rsplit(separator, 1)[-1]
        return None
    return element.value.rsplit(":", 1)[-1] if isinstance(element.value, str) else None
