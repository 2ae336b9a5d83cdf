"""Values from the command line or from Python, addressed by dotted keys."""

from collections.abc import Iterable

from dlplug.config.composition import merge, normalised
from dlplug.config.document import parse
from dlplug.config.tree import COMMAND_LINE, PYTHON, Node, from_plain
from dlplug.config.yaml_dialect import Loader
from dlplug.errors import ConfigError, InvalidValueError

Override = tuple[str, object]


def apply_overrides(config: Node, overrides: Iterable[Override]) -> Node:
    """``config`` with the overrides laid on top, in an order that does not matter to the user.

    Names go first, so that ``--optimizer.lr 0.1 --optimizer sgd`` sets the rate of the new
    optimizer; a list is replaced before it is appended to. Among equals the later one wins.

    Args:
        config: The composed files.
        overrides: Pairs of dotted key and value; a string is read like a YAML value.
    """
    for key, value in sorted(overrides, key=_rank):
        parts = key.split(".")
        if not all(parts):
            raise ConfigError(f"'{key}' is not a dotted key", where=str(COMMAND_LINE))
        node = read_value(value, key) if isinstance(value, str) else from_plain(value, PYTHON)
        for part in reversed(parts):
            node = Node({part: node}, node.origin)
        config = normalised(merge(config, node))
    return config


def read_value(text: str, key: str) -> Node:
    """A value as the command line gives it.

    Scalars are read as in YAML; only text that opens with a bracket, brace or quote is parsed as
    more, so that ``a: b`` stays text.
    """
    if not text:
        return Node("", COMMAND_LINE)
    if text[0] not in "[{'\"":
        return Node(_scalar(text), COMMAND_LINE, text)
    try:
        return from_plain(parse(text, "command line").plain(), COMMAND_LINE)
    except ConfigError as error:
        raise InvalidValueError(
            f"cannot read the value {text!r}: {error.what}",
            where=f"command line, {key}",
            fix="quote it for the shell, for example '[1, 2]' or '{name: x}'",
        ) from None


def _scalar(text: str) -> object:
    import yaml

    loader = Loader("")
    tag = loader.resolve(yaml.ScalarNode, text, (True, False))
    return loader.construct_object(yaml.ScalarNode(tag, text))


def _rank(override: Override) -> tuple[int, bool]:
    parts = override[0].split(".")
    # `optimizer.name` chooses just as `optimizer` does.
    return len(parts) - (parts[-1] in ("name", "class_path")), parts[-1].endswith("+")
