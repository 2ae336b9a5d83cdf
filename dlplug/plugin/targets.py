"""Entry-point values, ``module:attr [extra]``: reading them, and importing what they name."""

import re
import sys
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from dlplug.errors import suggestion
from dlplug.plugin.spec import is_ours

_VALUE = re.compile(
    r"(?P<module>[\w.]+)\s*(?::\s*(?P<attr>[\w.]+))?\s*(?:\[(?P<extras>[^\]]*)\])?\s*$"
)


@dataclass(frozen=True)
class Line:
    """One line of an ``entry_points.txt``.

    Args:
        group: The section, such as ``dlplug.losses``.
        name: Left of the equals sign.
        target: ``module:attr`` or ``module``, without extras; the raw text where it is malformed.
        extras: Extras of the distribution that this line needs.
        problem: Why the line cannot be used; None if it can.
    """

    group: str
    name: str
    target: str
    extras: tuple[str, ...] = ()
    problem: str | None = None


def parse_entry_points(text: str) -> list[Line]:
    """The lines of an ``entry_points.txt`` that concern dlplug, malformed ones included.

    ``importlib.metadata`` gives up on the whole file at one malformed line; here the others live.
    """
    lines, group = [], ""
    for raw in map(str.strip, text.splitlines()):
        if raw.startswith("[") and raw.endswith("]"):
            group = raw[1:-1].strip()
        elif raw and raw[0] not in "#;" and is_ours(group):
            lines.append(_parse_line(group, raw))
    return lines


def _parse_line(group: str, raw: str) -> Line:
    name, separator, value = (part.strip() for part in raw.partition("="))
    match = _VALUE.match(value)
    if not separator or not match:
        return Line(group, name, value or raw, problem=f"malformed entry point {raw!r}")
    target = ":".join(filter(None, (match["module"], match["attr"])))
    extras = tuple(extra.strip() for extra in (match["extras"] or "").split(",") if extra.strip())
    return Line(group, name, target, extras)


def import_target(target: str) -> object:
    """Import ``module:attr`` (or ``module``) and return what it names.

    Raises:
        AttributeError: the module lacks the attribute; the message holds the nearest one. Or it
            has one whose own code raised that.
        ModuleNotFoundError: there is no such module; the message holds the nearest one.
        BaseException: whatever the module raises on import.
    """
    module_name, _, path = target.partition(":")
    value: object = _imported(module_name)
    for attribute in filter(None, path.split(".")):
        try:
            value = getattr(value, attribute)
        except AttributeError as error:
            if error.obj is not value or error.name != attribute:
                raise  # of code that a lazy module or a class runs to make the attribute
            hint = suggestion(attribute, dir(value))
            raise AttributeError(
                f"{module_name!r} has no attribute {path!r}" + (f"; {hint}" if hint else "")
            ) from error
    return value


def _imported(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        absent = error.name or ""
        package = sys.modules.get(absent.rpartition(".")[0])
        if not f"{name}.".startswith(f"{absent}.") or not hasattr(package, "__path__"):
            raise  # of what the module imports in turn, or no part of the name is there
        known = (f"{package.__name__}.{found.name}" for found in iter_modules(package.__path__))
        if not (hint := suggestion(absent, known)):
            raise
        raise ModuleNotFoundError(f"{error}; {hint}", name=absent) from error
