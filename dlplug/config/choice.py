"""The chosen component of a slot: its name and arguments, in every spelling that is accepted."""

from dataclasses import dataclass, field

from dlplug.config.tree import DEFAULTS, Node
from dlplug.errors import InvalidValueError

RESERVED = ("name", "class_path", "init_args", "dict_kwargs")


@dataclass
class Choice:
    """A component as the config names it.

    The same choice can be written ``vit``, ``{name: vit, depth: 6}``,
    ``{name: vit, init_args: {depth: 6}}`` or ``{class_path: acme.vit.ViT, init_args: {depth: 6}}``.

    Attributes:
        word: ``name`` or ``class_path``; None when the config gives arguments alone.
        name: The node that holds the name or the class path; None with ``word`` None.
        arguments: Arguments by name.
        open_arguments: What goes into the component's ``**kwargs``, by name.
        node: The whole value.
    """

    word: str | None
    name: Node | None
    arguments: dict[str, Node]
    node: Node
    open_arguments: dict[str, Node] = field(default_factory=dict)

    @property
    def text(self) -> str | None:
        """The name or class path as a string."""
        return None if self.name is None else str(self.name.value)

    def joined(self) -> Node:
        """The choice as one mapping; arguments stand beside the name where that is unambiguous."""
        head = {self.word: self.name} if self.word else {}
        if self.word == "class_path" or any(key in RESERVED for key in self.arguments):
            body = {"init_args": Node(self.arguments, self.node.origin)} if self.arguments else {}
        else:
            body = dict(self.arguments)
        if self.open_arguments:
            body["dict_kwargs"] = Node(self.open_arguments, self.node.origin)
        return Node(head | body, self.node.origin)


def read_choice(node: Node, key: str) -> Choice:
    """Take a component's value apart.

    Args:
        node: A string, or a mapping with ``name`` or ``class_path`` or only arguments.
        key: Dotted key, for errors.
    Raises:
        InvalidValueError: The value is none of these, has both words, or repeats an argument.
    """
    where = f"{node.origin}, {key}"
    if isinstance(node.value, str):
        return Choice("name", node, {}, node)
    if not isinstance(node.value, dict):
        raise InvalidValueError(
            f"{key} must name a component, got {node.plain()!r}",
            where=where,
            fix=f"write '{key}: NAME' or '{key}: {{name: NAME, argument: value}}'",
        )
    values = dict(node.value)
    words = [word for word in ("name", "class_path") if word in values]
    if len(words) == 2:
        raise InvalidValueError(
            f"{key} has both a name and a class_path", where=where, fix="keep one of the two"
        )
    name = values.pop(words[0]) if words else None
    if name is not None and not isinstance(name.value, str):
        raise InvalidValueError(
            f"{key}.{words[0]} must be a word, got {name.plain()!r}",
            where=f"{name.origin}, {key}.{words[0]}",
            fix=f"an argument called {words[0]} stands under init_args",
        )
    inner = _mapping(values.pop("init_args", None), f"{key}.init_args")
    open_arguments = _mapping(values.pop("dict_kwargs", None), f"{key}.dict_kwargs")
    for argument in inner:
        if argument in values:
            raise InvalidValueError(
                f"argument '{argument}' stands twice, beside init_args and in it",
                where=f"{inner[argument].origin}, {key}.init_args.{argument}",
                fix="delete one of the two",
            )
    return Choice(words[0] if words else None, name, values | inner, node, open_arguments)


def is_placeholder(node: Node) -> bool:
    """Whether the component's name was put there by composing, not written by anyone."""
    if isinstance(node.value, dict):
        name = node.value.get("name", node.value.get("class_path"))
        return name is not None and name.origin == DEFAULTS
    return isinstance(node.value, str) and node.origin == DEFAULTS


def same_name(old: str, new: str) -> bool:
    """Whether two names mean one component: ``acme:vit`` and ``vit`` do."""
    if ":" in old and ":" in new:
        return old == new
    return old.rsplit(":", 1)[-1] == new.rsplit(":", 1)[-1]


def _mapping(node: Node | None, key: str) -> dict[str, Node]:
    if node is None or node.value is None:
        return {}
    if not isinstance(node.value, dict):
        raise InvalidValueError(
            f"{key} must be a mapping of arguments, got {node.plain()!r}",
            where=f"{node.origin}, {key}",
        )
    return dict(node.value)
