"""Type hints as the config sees them."""

import collections.abc
import enum
import inspect
import pathlib
import typing

import pytest

from dlplug.config.types import (
    allows_none,
    classes_in,
    example_of,
    is_plain,
    is_untyped,
    literals,
    type_text,
)


class Colour(enum.Enum):
    red = 1
    blue = 2


class Thing:
    pass


@pytest.mark.parametrize(
    ("hint", "text", "plain"),
    [
        (int, "int", True),
        (int | None, "int | null", True),
        (typing.Optional[float], "float | null", True),  # noqa: UP045 - the old spelling is the case
        (tuple[float, float], "tuple[float, float]", True),
        (tuple[int, ...], "tuple[int, ...]", True),
        (list, "list", True),
        (dict[str, list[int]], "dict[str, list[int]]", True),
        (typing.Literal["a", 1, None], "'a' | 1 | None", True),
        (Colour, "red | blue", True),
        (pathlib.Path, "Path", True),
        (collections.abc.Sequence[int], "Sequence[int]", True),
        (typing.Annotated[int, "x"], "int", True),
        (typing.Any, "any", False),
        (inspect.Parameter.empty, "any", False),
        (Thing, "Thing", False),
        (Thing | str, "Thing | str", False),
        (list[Thing], "list[Thing]", False),
        (list[typing.Any], "list[any]", False),
        (collections.abc.Callable[[int], int], "callable", False),
        (typing.Callable, "callable", False),
        (type[Thing], "type[Thing]", False),
    ],
)
def test_a_hint_has_a_text_and_is_plain_or_not(hint, text, plain):
    """Plain types hold YAML data only; checking a value of another type may import something."""
    assert type_text(hint) == text
    assert is_plain(hint) is plain


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (collections.abc.Sequence[int], "[3, 3]"),
        (list[float] | None, "[0.1, 0.1]"),
        (tuple[int, float, int], "[3, 0.1, 3]"),
        (tuple[bool, ...], "[true, true]"),
        (int | None, "3"),
        (dict[str, int], None),
        (collections.abc.Callable[[int], str], None),
        (list[Thing], None),
        (list, None),
        (Thing, None),
    ],
)
def test_a_hint_has_an_example(hint, text):
    """As it is written on a command line; none where nobody can know one."""
    assert example_of(hint) == text


def test_what_says_nothing_is_untyped():
    """No hint, Any, object, a type variable, and a name that cannot be resolved."""
    hints = (inspect.Parameter.empty, typing.Any, object, typing.TypeVar("T"), "Missing")
    assert all(map(is_untyped, hints)) and not is_untyped(int)


def test_null_fits_optional_hints():
    """Also inside unions and literals."""
    assert all(map(allows_none, (int | None, typing.Any, typing.Literal["a", None])))
    assert not any(map(allows_none, (int, int | str, typing.Literal["a"])))


def test_the_words_of_a_hint_are_listed():
    """Literals, enum members and booleans; for suggestions."""
    assert literals(typing.Literal["mean", "sum"] | None) == ["mean", "sum"]
    assert literals(Colour) == ["red", "blue"]
    assert literals(bool | int) == ["true", "false"]


def test_the_classes_of_a_hint_are_found_at_any_depth():
    """Plain types and callables ask for no class."""
    assert classes_in(list[Thing | str] | None) == (Thing,)
    assert classes_in(type[Thing]) == (Thing,)
    assert classes_in(int | None) == classes_in(typing.Any) == ()
    assert classes_in(collections.abc.Callable[[Thing], Thing]) == (Thing,)
