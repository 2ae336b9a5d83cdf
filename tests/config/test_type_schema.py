"""Type hints as JSON Schema."""

import collections.abc
import datetime
import enum
import inspect
import pathlib
import typing

import pytest
from torch import nn

from dlplug.config.type_schema import OBJECT, any_of, type_schema


class Color(enum.Enum):
    RED = 1
    BLUE = 2


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (str, {"type": "string"}),
        (pathlib.Path, {"type": "string"}),
        (datetime.timedelta, {"type": "string"}),
        (None, {"type": "null"}),
        (int | None, {"type": ["integer", "null"]}),
        (int | float, {"type": "number"}),
        (Color, {"enum": ["RED", "BLUE"]}),
        (typing.Literal["a", 1, None], {"enum": ["a", 1, None]}),
        (typing.Annotated[int, "x"], {"type": "integer"}),
        (list, {"type": "array"}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (collections.abc.Sequence[str], {"type": "array", "items": {"type": "string"}}),
        (
            tuple[int, str],
            {
                "type": "array",
                "prefixItems": [{"type": "integer"}, {"type": "string"}],
                "minItems": 2,
                "maxItems": 2,
            },
        ),
        (dict, {"type": "object"}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (inspect.Parameter.empty, {}),
        (typing.Any, {}),
        (int | typing.Any, {}),
        (nn.Module, OBJECT),
        (collections.abc.Callable[[int], int], OBJECT),
    ],
    ids=str,
)
def test_a_hint_becomes_a_schema(hint, schema):
    """As wide as the hint where JSON Schema has no word for it."""
    assert type_schema(hint) == schema


def test_alternatives_are_joined():
    """Simple types become one list; others stand beside."""
    assert any_of([{"type": "string"}, {"enum": [1]}, {"type": "null"}]) == {
        "anyOf": [{"type": ["string", "null"]}, {"enum": [1]}]
    }
