"""Config values as a tree: what was written, and where."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """Where a value was written: ``configs/a.yaml, line 7``, or a word such as ``command line``."""

    source: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.source}, line {self.line}" if self.line else self.source


COMMAND_LINE = Origin("command line")
PYTHON = Origin("overrides")
DEFAULTS = Origin("dlplug's defaults")


@dataclass(frozen=True)
class Node:
    """A config value.

    Attributes:
        value: A scalar, a list of nodes or a mapping of nodes.
        origin: Where it was written.
        text: The scalar as typed on the command line, where a string cannot be told from a number.
    """

    value: object
    origin: Origin
    text: str | None = None

    def plain(self) -> object:
        """The value as plain data, without origins."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def children(self) -> Iterator[tuple[str, "Node"]]:
        """Keys and values of a mapping, indices and elements of a list, nothing of a scalar."""
        if isinstance(self.value, dict):
            yield from ((str(key), child) for key, child in self.value.items())
        elif isinstance(self.value, list):
            yield from ((str(index), child) for index, child in enumerate(self.value))

    def nearest(self, path: list[str]) -> "Node":
        """The node at ``path``, or its last ancestor that exists."""
        child = dict(self.children()).get(path[0]) if path else None
        return self if child is None else child.nearest(path[1:])


def from_plain(value: object, origin: Origin, like: Node | None = None) -> Node:
    """Plain data as a tree.

    Args:
        value: Scalars, lists and mappings.
        origin: Of everything that ``like`` does not have.
        like: An earlier tree: values at the same place keep its origin, equal scalars their text.
    """
    known = dict(like.children()) if like else {}
    # Who replaces a default says something himself.
    own = like.origin if like and like.origin != DEFAULTS else origin
    if isinstance(value, dict):
        return Node({k: from_plain(v, origin, known.get(str(k))) for k, v in value.items()}, own)
    if isinstance(value, list | tuple):
        elements = [from_plain(v, origin, known.get(str(i))) for i, v in enumerate(value)]
        return Node(elements, own)
    if like and type(like.value) is type(value) and like.value == value:
        return like
    return Node(value, own)
