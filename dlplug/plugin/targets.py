"""Entry-point values, ``module:attr [extra]``: reading them, and importing what they name."""

import re
from dataclasses import dataclass
from importlib import import_module

from dlplug.errors import suggestion

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
        elif raw and raw[0] not in "#;" and (group == "dlplug" or group.startswith("dlplug.")):
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
        BaseException: whatever the module raises on import.
    """
    module_name, _, path = target.partition(":")
    value: object = import_module(module_name)
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
