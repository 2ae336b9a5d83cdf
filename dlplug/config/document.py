"""Reading YAML files into trees in which every value knows its file and line."""

from pathlib import Path

import yaml

from dlplug.config.tree import Node, Origin
from dlplug.config.yaml_dialect import Loader
from dlplug.errors import ConfigError, suggestion

# Far above any config; an alias that doubles itself thirty times is stopped here.
MAX_VALUES = 20_000
TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null")}


def load_file(path: str | Path) -> Node:
    """Read one config file.

    Args:
        path: A YAML file that holds a mapping; an empty file is an empty mapping.
    Raises:
        ConfigError: The file is missing or unreadable, is not YAML, holds no mapping, or names a
            key twice. The error tells file and line.
    """
    path = Path(path)
    node = parse(_read(path), str(path))
    if node.value is None:
        return Node({}, node.origin)
    if not isinstance(node.value, dict):
        raise ConfigError(
            f"a config is a mapping of keys, this is a {type(node.plain()).__name__}",
            where=str(node.origin),
            fix="write one 'key: value' per line, for example 'architecture: vit'",
        )
    return node


def parse(text: str, source: str) -> Node:
    """YAML text as a tree whose origins name ``source``."""
    try:
        loader = Loader(text)
        tree = loader.get_single_node()
        if tree is None:
            return Node(None, Origin(source, 1))
        return _Reader(loader, source).read(tree)
    except yaml.YAMLError as error:
        raise _translated(error, source) from None
    except RecursionError:
        raise ConfigError("values are nested too deeply", where=source) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        folder = path.parent
        nearby = sorted(p.name for p in folder.glob("*.y*ml")) if folder.is_dir() else []
        raise ConfigError(
            f"no config file '{path}'",
            where=f"in {folder.absolute()}",
            known=", ".join(nearby) or None,
            fix=suggestion(path.name, nearby) or "give the path of a YAML file to --config",
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"config file '{path}' is not UTF-8 text: {error.reason}") from None
    except OSError as error:
        raise ConfigError(f"cannot read config file '{path}': {error.strerror}") from None


class _Reader:
    """Turns PyYAML's nodes into ours; counts them, so that nothing grows without bound."""

    def __init__(self, loader: Loader, source: str):
        self.loader = loader
        self.source = source
        self.count = 0
        self.open: list[int] = []

    def read(self, node: yaml.Node, origin: Origin | None = None) -> Node:
        origin = origin or self.origin(node)
        self.count += 1
        if id(node) in self.open:
            raise ConfigError("an alias repeats itself without end", where=str(origin))
        if self.count > MAX_VALUES:
            raise ConfigError(
                f"more than {MAX_VALUES} values in one config",
                where=str(origin),
                fix="keep data in a file of its own and name the file",
            )
        if isinstance(node, yaml.ScalarNode):
            return Node(self.scalar(node), origin)
        self.refuse_tag(node, node.tag in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"))
        self.open.append(id(node))
        if isinstance(node, yaml.SequenceNode):
            value = [self.read(child) for child in node.value]
        else:
            value = self.mapping(node)
        self.open.pop()
        return Node(value, origin)

    def mapping(self, node: yaml.MappingNode) -> dict:
        inherited, own = {}, {}
        for key_node, value_node in node.value:
            origin = self.origin(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError("a key must be a word, not a list or mapping", where=str(origin))
            if key_node.value == "<<" and key_node.style is None:
                inherited |= self.merged(value_node)
                continue
            key = self.scalar(key_node)
            if key in own:
                raise ConfigError(
                    f"key '{key}' stands twice in one mapping",
                    where=f"{origin} and line {own[key].origin.line}",
                    fix="delete one of the two",
                )
            own[key] = self.read(value_node, origin)
        return inherited | own

    def merged(self, node: yaml.Node) -> dict:
        """The mapping, or list of mappings, behind ``<<``; the first one that has a key wins."""
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        result: dict = {}
        for part in reversed(parts):
            value = self.read(part).value
            if not isinstance(value, dict):
                raise ConfigError("'<<' needs a mapping", where=str(self.origin(part)))
            result |= value
        return result

    def scalar(self, node: yaml.ScalarNode) -> object:
        self.refuse_tag(node, node.tag in TAGS)
        try:
            return self.loader.construct_object(node)
        except (ValueError, KeyError):  # such as `!!int x`
            raise ConfigError(
                f"'{node.value}' is not a {node.tag.rsplit(':')[-1]}", where=str(self.origin(node))
            ) from None

    def refuse_tag(self, node: yaml.Node, is_plain: bool) -> None:
        if not is_plain:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            raise ConfigError(
                f"the YAML tag '{tag}' is not plain data", where=str(self.origin(node))
            )

    def origin(self, node: yaml.Node) -> Origin:
        return Origin(self.source, node.start_mark.line + 1)


def _translated(error: yaml.YAMLError, source: str) -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    where = str(Origin(source, mark.line + 1 if mark else None))
    if "'\\t'" in problem:
        return ConfigError(
            "a tab stands where YAML needs spaces", where=where, fix="indent with spaces"
        )
    context, start = getattr(error, "context", None), getattr(error, "context_mark", None)
    if context and start:
        context += f" begun in line {start.line + 1}"
    what = f"not valid YAML: {problem}" + (f" ({context})" if context else "")
    return ConfigError(what, where=where)
