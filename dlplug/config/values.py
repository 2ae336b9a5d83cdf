"""One argument: checked against its type by jsonargparse, errors told in the config's words."""

import datetime
import enum
import pathlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from dlplug.config.document import parse
from dlplug.config.nested_paths import refuse_untrusted
from dlplug.config.parameters import Parameter
from dlplug.config.tree import COMMAND_LINE, Node
from dlplug.config.trust import Trust
from dlplug.config.types import (
    allows_none,
    example_of,
    is_plain,
    is_untyped,
    literals,
    members,
    type_text,
)
from dlplug.errors import InvalidValueError, suggestion


class _NotPlain:
    def __repr__(self) -> str:
        return "NOT_PLAIN"


# How jsonargparse begins, about the one argument of the parsers made here.
PREFIX = 'Parser key "value": '
NOT_PLAIN = _NotPlain()
"""Stands for a value that no YAML can express, such as a function as a default."""


@dataclass(frozen=True)
class Value:
    """A checked argument.

    Attributes:
        plain: As plain data, with the defaults of nested classes; `NOT_PLAIN` if there is no such.
        make: Gives the Python value; nested classes are built anew by each call.
    """

    plain: object
    make: Callable[[], object]


def check(parameter: Parameter, node: Node, key: str, trust: Trust) -> Value:
    """Check a value from the config against the parameter's type, and convert it.

    Args:
        parameter: Whose value it is.
        node: The value and its origin.
        key: Dotted key, for errors.
        trust: What nested class paths may import.
    Raises:
        InvalidValueError: The value is not of that type.
        UntrustedError: It names a class or function that may not be imported.
    """
    plain, hint = node.plain(), parameter.hint
    where = f"{node.origin}, {key}"
    if not is_plain(hint):
        refuse_untrusted(plain, hint, where, trust)
    is_word = isinstance(plain, str) and str in members(hint) and not is_plain(hint)
    if is_untyped(hint) or is_word:
        return Value(plain, lambda: plain)
    if plain is None:
        if allows_none(hint):
            return Value(None, lambda: None)
        raise _wrong_type(parameter, node, key, None)
    try:
        return _parsed(hint, plain)
    except _Refused as error:
        if node.text is not None and plain != node.text:
            # `--data.version 3` for a str: a shell cannot say '3' without a struggle.
            try:
                return _parsed(hint, node.text)
            except _Refused:
                pass
        raise _wrong_type(parameter, node, key, str(error)) from None


def check_default(parameter: Parameter) -> Value:
    """The default as the type converts it (0 for a float becomes 0.0), where it is plain data."""
    default = parameter.default
    plain = plain_form(default)
    if plain is not NOT_PLAIN and is_plain(parameter.hint):
        with suppress(_Refused):  # A default need not be of its own type.
            plain = _parsed(parameter.hint, plain).plain
    return Value(plain, lambda: default)


def plain_form(value: object) -> object:
    """``value`` as YAML can hold it, or `NOT_PLAIN`."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, pathlib.PurePath | datetime.timedelta):
        return str(value)
    if isinstance(value, list | tuple | set | frozenset):
        elements = [plain_form(element) for element in value]
        return NOT_PLAIN if NOT_PLAIN in elements else elements
    if isinstance(value, dict):
        values = {key: plain_form(element) for key, element in value.items()}
        keys_are_plain = all(isinstance(key, str | int) for key in values)
        return values if keys_are_plain and NOT_PLAIN not in values.values() else NOT_PLAIN
    return NOT_PLAIN


class _Refused(Exception):
    """jsonargparse does not accept the value."""


def _parsed(hint: object, plain: object) -> Value:
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    try:
        parser.add_argument("--value", type=hint)
    except (ValueError, TypeError, NameError):
        # A hint that jsonargparse cannot read checks nothing.
        return Value(plain, lambda: plain)
    try:
        parsed = parser.parse_object({"value": plain})
    except (ArgumentError, TypeError, ValueError) as error:
        raise _Refused(" ".join(str(error).split())) from None
    form = plain_form(parsed.value)
    if form is not NOT_PLAIN:
        return Value(form, lambda: parsed.value)
    form = plain_form(parsed.as_dict()["value"])
    if form is NOT_PLAIN:  # a function, which is written as its import path
        form = parse(parser.dump(parsed), "resolved").plain()["value"]
    return Value(form, lambda: parser.instantiate(parsed.clone()).value)


def _wrong_type(parameter: Parameter, node: Node, key: str, reason: str | None) -> Exception:
    plain, words = node.plain(), literals(parameter.hint)
    what = f"{key} must be {type_text(parameter.hint)}, got {plain!r}"
    known, fix = parameter.doc or None, None
    if isinstance(plain, str) and len(words) > 2:
        what, known = f"{key} cannot be '{plain}'", ", ".join(dict.fromkeys(words))
        fix = suggestion(plain, words)
    elif isinstance(plain, dict | list) and reason and not is_plain(parameter.hint):
        # Something about a nested class, which only jsonargparse has looked into.
        what = f"{key} cannot be {plain!r}: {reason.removeprefix(PREFIX)}"
    elif str in members(parameter.hint) and not isinstance(plain, dict | list):
        fix = f"quote it: '{plain}'"
    elif example := example_of(parameter.hint):
        # A shell would take brackets for a pattern.
        is_typed = node.origin == COMMAND_LINE and example.startswith("[")
        fix = f"such as '{example}'" if is_typed else f"such as {example}"
    return InvalidValueError(what, where=f"{node.origin}, {key}", known=known, fix=fix)
