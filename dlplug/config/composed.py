"""Config files and overrides laid over each other, before any name is looked up."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from dlplug.config.document import load_file, parse
from dlplug.config.merging import merge, normalised
from dlplug.config.slots import OTHER_WORDS, SLOTS
from dlplug.config.tree import COMMAND_LINE, DEFAULTS, PYTHON, Node, Origin, from_plain
from dlplug.config.yaml_dialect import Loader
from dlplug.errors import ConfigError, InvalidValueError, UnknownKeyError, suggestion

# Keys that LightningCLI has in its configs and that are options here.
FLAGS = ("ckpt_path", "resume", "run")

Override = tuple[str, object]
Renew = Callable[[Node], Node]
"""Puts present names in the place of old ones."""


@dataclass(frozen=True)
class Composed:
    """A config as given.

    Attributes:
        tree: Everything that files and overrides say.
        name: How the run is called when the config does not say: the last file's name.
        with_base: The whole when the first file says something else in some slots: what came after
            it, overrides too, is laid over that.
    """

    tree: Node
    name: str | None
    with_base: Callable[[Node], Node] = field(repr=False)

    def get(self, slot: str) -> Node | None:
        """The value of a slot, or None when nothing was said (null is a value)."""
        return self.tree.value.get(slot)

    def where(self, key: str) -> str:
        """File and line of a dotted key, or of the nearest one above it that was written.

        ``dlplug's defaults`` when nothing was said about the slot.
        """
        path = key.split(".")
        return str(self.tree.nearest(path).origin if path[0] in self.tree.value else DEFAULTS)

    def with_slot(self, slot: str, node: Node) -> "Composed":
        """The same config with another value in one slot."""
        return replace(self, tree=Node({**self.tree.value, slot: node}, self.tree.origin))

    def with_slots_below(self, plain: dict, source: str) -> "Composed":
        """The same config with other content in some slots, and on top what was laid over them.

        Args:
            plain: By slot, what the first file now says.
            source: Who says so.
        """
        tree = self.with_base(from_plain(plain, Origin(source)))
        slots = {slot: tree.value[slot] for slot in plain}
        return replace(self, tree=Node({**self.tree.value, **slots}, self.tree.origin))

    def with_plugin_files(self, files: list[str]) -> "Composed":
        """The same config with the plugin files that are in use, by their absolute paths."""
        node = self.get("plugins")
        files = from_plain(files, COMMAND_LINE)
        values = node.value if node and node.value else {}
        return self.with_slot("plugins", Node({**values, "files": files}, COMMAND_LINE))

    def rewritten(self, plain: dict, source: str) -> "Composed":
        """The same config with other content; what stays in its place keeps its origin."""
        tree = normalised(from_plain(plain, Origin(source), like=self.tree))
        _refuse_unknown_slots(tree)
        return replace(self, tree=tree)


def compose(
    files: Iterable[str | Path],
    overrides: Iterable[Override] = (),
    renew: Renew = lambda config: config,
) -> Composed:
    """Lay files over each other in their order, then the overrides.

    Args:
        files: Paths of YAML files.
        overrides: Pairs of dotted key and value.
        renew: Called on every file before, and on the whole after it is laid on top, so that old
            and new names of one thing meet.
    Raises:
        ConfigError: A file cannot be read, or a top-level key does not exist.
    """
    files, overrides = [Path(file) for file in files], tuple(overrides)
    nothing, documents = Node({}, COMMAND_LINE), []
    for file in files:
        documents.append(load_file(file))
        _refuse_unknown_slots(documents[-1])

    def with_base(slots: Node) -> Node:
        first, *others = documents or [nothing]
        tree = nothing
        for document in (Node({**first.value, **slots.value}, first.origin), *others):
            tree = renew(merge(normalised(tree), renew(document)))
        return normalised(apply_overrides(normalised(tree), overrides, renew))

    tree = with_base(nothing)
    _refuse_unknown_slots(tree)
    return Composed(tree, files[-1].stem if files else None, with_base)


def apply_overrides(
    config: Node, overrides: Iterable[Override], renew: Renew = lambda config: config
) -> Node:
    """``config`` with the overrides laid on top, in an order that does not matter to the user.

    Names go first, so that ``--optimizer.lr 0.1 --optimizer sgd`` sets the rate of the new
    optimizer; a list is replaced before it is appended to. Among equals the later one wins.

    Args:
        config: The composed files.
        overrides: Pairs of dotted key and value; a string is read like a YAML value.
        renew: As for `compose`.
    """
    for key, value in sorted(overrides, key=_rank):
        parts = key.split(".")
        if not all(parts):
            raise ConfigError(f"'{key}' is not a dotted key", where=str(COMMAND_LINE))
        node = read_value(value, key) if isinstance(value, str) else from_plain(value, PYTHON)
        for part in reversed(parts):
            node = Node({part: node}, node.origin)
        config = normalised(renew(merge(config, renew(node))))
    return config


def read_value(text: str, key: str) -> Node:
    """A value as the command line gives it.

    Scalars are read as in YAML; only text that opens with a bracket, brace or quote is parsed as
    more, so that ``a: b`` stays text.
    """
    if not text:
        return Node("", COMMAND_LINE)
    if text[0] not in "[{'\"":
        try:
            return Node(_scalar(text), COMMAND_LINE, text)
        except ValueError:
            raise InvalidValueError(
                f"{key} has a number of {len(text)} characters, which Python does not read",
                where=f"command line, {key}",
                fix="write it shorter, for example 1e9",
            ) from None
    try:
        return from_plain(parse(text, "command line").plain(), COMMAND_LINE)
    except ConfigError as error:
        raise InvalidValueError(
            f"cannot read the value {text!r}: {error.what}",
            where=f"command line, {key}",
            fix="quote it for the shell, for example '[1, 2]' or '{name: x}'",
        ) from None


def _refuse_unknown_slots(config: Node) -> None:
    for key, node in config.value.items():
        name = str(key).removesuffix("+")
        if name in SLOTS:
            continue
        where = f"{node.origin}, {key}"
        raise UnknownKeyError(
            f"no key '{key}' in a config",
            where=where,
            known=", ".join(SLOTS),
            fix=f"'{key}' is an option: --{key}" if name in FLAGS else _slot_suggestion(name),
        )


def _slot_suggestion(name: str) -> str | None:
    """``did you mean 'architecture'?`` for ``model`` and for near misses."""
    if name in OTHER_WORDS:
        return f"did you mean '{OTHER_WORDS[name]}'?"
    return suggestion(name, SLOTS)


def _scalar(text: str) -> object:
    loader = Loader("")
    tag = loader.resolve(yaml.ScalarNode, text, (True, False))
    return loader.construct_object(yaml.ScalarNode(tag, text))


def _rank(override: Override) -> tuple[int, bool]:
    parts = override[0].split(".")
    # `optimizer.name` chooses just as `optimizer` does.
    return len(parts) - (parts[-1] in ("name", "class_path")), parts[-1].endswith("+")
