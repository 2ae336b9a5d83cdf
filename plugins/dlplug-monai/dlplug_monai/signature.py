"""The arguments of MONAI's classes as parameters of dlplug's components."""

import inspect
import typing
from collections.abc import Collection, Mapping
from typing import Any


def options_of(
    owner: type, left_out: Collection[str], defaults: Mapping[str, Any]
) -> list[inspect.Parameter]:
    """The parameters of a constructor, keyword-only, with types that need no looking up.

    Args:
        owner: The class.
        left_out: Names that a config does not set.
        defaults: In the place of the class's own, or where it has none.
    Raises:
        TypeError: a name in ``left_out`` or ``defaults`` is none of its parameters: this version
            of the library has another.
    """
    parameters = inspect.signature(owner).parameters
    if unknown := {*left_out, *defaults} - parameters.keys():
        raise TypeError(f"{owner.__name__} has no parameter {', '.join(sorted(unknown))}")
    hints = typing.get_type_hints(owner.__init__)
    return [
        parameter.replace(
            kind=inspect.Parameter.KEYWORD_ONLY,
            annotation=hints.get(name, inspect.Parameter.empty),
            default=defaults.get(name, parameter.default),
        )
        for name, parameter in parameters.items()
        if name not in left_out
    ]
