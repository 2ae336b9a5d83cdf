"""Type hints as the config sees them: how they read, and which of them hold plain values only."""

import collections.abc
import datetime
import enum
import inspect
import pathlib
import types
import typing

PLAIN = (str, int, float, bool, complex, bytes, type(None), pathlib.PurePath, datetime.timedelta)
CONTAINERS = (
    list,
    tuple,
    dict,
    set,
    frozenset,
    collections.abc.Sequence,
    collections.abc.Iterable,
    collections.abc.Collection,
    collections.abc.Mapping,
)
SEQUENCES = (
    list,
    tuple,
    set,
    frozenset,
    collections.abc.Sequence,
    collections.abc.Iterable,
    collections.abc.Collection,
)
EXAMPLES = {int: "3", float: "0.1", bool: "true"}
UNIONS = (typing.Union, types.UnionType)


def is_untyped(hint: object) -> bool:
    """No hint, or one that allows everything: ``Any``, ``object``, a type variable, a name."""
    return hint in (inspect.Parameter.empty, typing.Any, object) or isinstance(
        hint, typing.TypeVar | str | typing.ForwardRef
    )


def members(hint: object) -> list[object]:
    """The alternatives of a union, else the hint alone."""
    if typing.get_origin(hint) in UNIONS:
        return [member for part in typing.get_args(hint) for member in members(part)]
    return [hint]


def allows_none(hint: object) -> bool:
    """Whether null is a value of that type."""
    return any(is_untyped(part) or part in (None, type(None)) for part in members(hint)) or any(
        typing.get_origin(part) is typing.Literal and None in typing.get_args(part)
        for part in members(hint)
    )


def example_of(hint: object) -> str | None:
    """How a value of the type is written in a config; None where there is no one way."""
    for kind in members(hint):
        origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
        if origin in EXAMPLES:
            return EXAMPLES[origin]
        if origin not in SEQUENCES:
            continue  # what others have, such as a callable's list, cannot be looked up
        parts = [EXAMPLES.get(part) for part in arguments if part is not Ellipsis]
        if parts and all(parts):
            # As many as a tuple has; of a list, two show where the comma is.
            is_counted = origin is tuple and Ellipsis not in arguments
            return f"[{', '.join(parts if is_counted else parts[:1] * 2)}]"
    return None


def is_plain(hint: object) -> bool:
    """Whether values of the type are plain data, so that checking one imports nothing."""
    if is_untyped(hint):
        return False
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return is_plain(typing.get_args(hint)[0])
    if origin in UNIONS or origin in CONTAINERS:
        return all(part is Ellipsis or is_plain(part) for part in typing.get_args(hint))
    if origin is typing.Literal or hint is None:
        return True
    return inspect.isclass(hint) and (hint in CONTAINERS or issubclass(hint, (*PLAIN, enum.Enum)))


def classes_in(hint: object) -> tuple[type, ...]:
    """The classes that the hint asks an object of, at any depth; plain types left out."""
    if is_untyped(hint) or is_plain(hint) or hint is Ellipsis:
        return ()
    parts = [found for part in typing.get_args(hint) for found in classes_in(part)]
    origin = typing.get_origin(hint) or hint
    own = inspect.isclass(origin) and origin not in (*CONTAINERS, *UNIONS, type)
    return (origin, *parts) if own and origin is not collections.abc.Callable else tuple(parts)


def type_text(hint: object) -> str:
    """The hint as a user reads it: ``int | None``, ``tuple[float, float]``, ``'mean' | 'sum'``."""
    if is_untyped(hint):
        return "any"
    if hint is Ellipsis:
        return "..."
    if hint in (None, type(None)):
        return "null"
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return type_text(parts[0])
    if origin is typing.Literal:
        return " | ".join(dict.fromkeys(repr(part) for part in parts))
    if origin in UNIONS:
        return " | ".join(dict.fromkeys(type_text(part) for part in parts))
    if origin is collections.abc.Callable or hint is collections.abc.Callable:
        return "callable"
    if inspect.isclass(hint) and issubclass(hint, enum.Enum):
        return " | ".join(hint.__members__)
    name = getattr(origin or hint, "__name__", str(hint))
    return f"{name}[{', '.join(type_text(part) for part in parts)}]" if parts else name


def literals(hint: object) -> list[str]:
    """The words that the type enumerates: literals and enum members."""
    words = []
    for part in members(hint):
        if typing.get_origin(part) is typing.Literal:
            words += [str(value) for value in typing.get_args(part)]
        elif inspect.isclass(part) and issubclass(part, enum.Enum):
            words += list(part.__members__)
        elif part is bool:
            words += ["true", "false"]
    return words
