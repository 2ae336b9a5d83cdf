"""The resolved config as YAML that says where filled values come from."""

from collections.abc import Iterator, Mapping

from dlplug.config.yaml_dialect import dump_scalar


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
