"""Present names written into the text of an old config, which otherwise stays as it is."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from dlplug.config.document import load_file, parse
from dlplug.config.renewal import Change, renewal
from dlplug.config.yaml_dialect import Loader
from dlplug.errors import ConfigError
from dlplug.plugin import Registry


def upgraded(path: Path, registry: Registry) -> tuple[str, str]:
    """The text of a config before and after.

    Args:
        path: A YAML file.
        registry: Knows who was called what.
    Raises:
        ConfigError: it cannot be read, or what is to be renamed stands in a form that is left to
            its author, such as a mapping that is merged by ``<<``.
    """
    tree, changes = renewal(load_file(path), registry)
    # Not as text, which would lose the line ends of Windows.
    text = path.read_bytes().decode("utf-8")
    root = Loader(text).get_single_node()
    words = {}
    for change in changes:
        node = _find(root, change, path)
        words[node.start_mark.index] = node.end_mark.index, _written(node, change.new)
    new = text
    for start in sorted(words, reverse=True):
        end, word = words[start]
        new = new[:start] + word + new[end:]
    if changes and parse(new, str(path)).plain() != tree.plain():
        raise ConfigError(
            f"{path} uses one text in several places, where it would have to differ",
            fix="write out what stands behind & and *, then upgrade again",
        )
    return text, new


def _find(node: yaml.Node, change: Change, path: Path) -> yaml.ScalarNode:
    """The scalar that a change means."""
    *before, last = change.path
    for part in before:
        node = _child(node, part, path)[1]
    key, value = _child(node, last, path)
    return key if change.is_key else value


def _child(node: yaml.Node, part: str, path: Path) -> Sequence[yaml.Node]:
    """Key and value of a mapping, or twice the element of a list."""
    if isinstance(node, yaml.SequenceNode):
        return (node.value[int(part)],) * 2
    for key, value in node.value:
        if key.value == part:
            return key, value
    raise ConfigError(
        f"{part!r} comes from a mapping that is merged by '<<'",
        where=f"{path}, line {node.start_mark.line + 1}",
        fix="rename it by hand, or write the mapping out",
    )


def _written(node: yaml.ScalarNode, word: str) -> str:
    """The word in the quotes that the old one has."""
    return f"{node.style}{word}{node.style}" if node.style in ("'", '"') else word
