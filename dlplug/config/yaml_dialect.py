"""The YAML that configs are written in: version 1.2's scalars, read and written alike.

PyYAML follows YAML 1.1, where ``1e-3`` is a string, ``no`` is false, ``12:30:00`` is the number
45000, ``2024_01_05`` is another number and a date is an object. A config needs none of that and is
hurt by each.
"""

import re
from collections.abc import Iterator, Mapping

import yaml

BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
NULL = re.compile(r"^(?:~|null|Null|NULL|)$")
INT = re.compile(r"^(?:[-+]?\d+|0x[\da-fA-F]+|0o[0-7]+)$")
FLOAT = re.compile(
    r"^(?:[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
# Tried in this order: a whole number is an int before it is a float.
SCALARS = (("bool", BOOL, "tTfF"), ("int", INT, "-+0123456789"), ("float", FLOAT, "-+0123456789."))


class Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2's plain scalars."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML's own class attribute


class Dumper(yaml.SafeDumper):
    """SafeDumper that quotes what any reader, of YAML 1.1 or 1.2, would take for another type."""

    def ignore_aliases(self, data):
        return True


for name, pattern, first in SCALARS:
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{name}", pattern, list(first))
    Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{name}", pattern, list(first))
Loader.add_implicit_resolver("tag:yaml.org,2002:null", NULL, ["~", "n", "N", ""])


def _int(loader, node) -> int:
    text = loader.construct_scalar(node)
    bases = {"0x": 16, "0o": 8}
    number = int(text, bases.get(text[:2], 10))
    str(number)  # a ValueError, as int() raises for as many decimal digits: nobody could print it
    return number


def _float(loader, node) -> float:
    text = loader.construct_scalar(node).lower()
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


Loader.add_constructor("tag:yaml.org,2002:int", _int)
Loader.add_constructor("tag:yaml.org,2002:float", _float)


def dump_scalar(value: object) -> str:
    """One line of YAML for a scalar, list or mapping; what :class:`Loader` reads as ``value``."""
    text = yaml.dump(
        value,
        Dumper=Dumper,
        default_flow_style=True,
        width=2**31,
        allow_unicode=True,
        sort_keys=False,
    )
    return text.removesuffix("\n").removesuffix("\n...")


def render(config: Mapping[str, object], notes: Mapping[str, str] | None = None) -> str:
    """Plain data as YAML, with a comment behind each value that has a note.

    Args:
        config: A config; reading the text gives it back.
        notes: Dotted key to comment; elements of lists are keyed by index.
    Returns:
        Block style for mappings and lists of mappings, one line for everything else.
    """
    return "\n".join(_mapping(config, "", 0, notes or {})) + "\n"


def _mapping(values: Mapping, prefix: str, indent: int, notes: Mapping[str, str]) -> Iterator[str]:
    for name, value in values.items():
        key = f"{prefix}{name}"
        yield from _entry(f"{' ' * indent}{dump_scalar(name)}:", value, key, indent, notes)


def _entry(head: str, value: object, key: str, indent: int, notes) -> Iterator[str]:
    written = key.replace(".init_args.", ".")
    note = f"  # {notes[written]}" if written in notes else ""
    if isinstance(value, dict) and value:
        yield head + note
        yield from _mapping(value, f"{key}.", indent + 2, notes)
    elif isinstance(value, list) and any(isinstance(element, dict) for element in value):
        yield head + note
        for index, element in enumerate(value):
            yield from _element(element, f"{key}.{index}", indent + 2, notes)
    else:
        yield f"{head} {dump_scalar(value)}{note}"


def _element(element: object, key: str, indent: int, notes: Mapping[str, str]) -> Iterator[str]:
    dash = " " * (indent - 2) + "- "
    if not isinstance(element, dict) or not element:
        yield f"{dash}{dump_scalar(element)}"
        return
    lines = list(_mapping(element, f"{key}.", indent, notes))
    yield dash + lines[0].lstrip()
    yield from lines[1:]
