"""A time in a file: a number, or a date by ISO 8601, with a time zone or without."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

START = datetime(1970, 1, 1)
MICROSECOND = timedelta(microseconds=1)
EXAMPLES = "numbers, or dates such as 2024-05-31 or 2024-05-31T08:00"


@dataclass(frozen=True)
class Time:
    """A text as a time.

    Times with a zone are of another kind than those without: nobody knows which is earlier.

    Args:
        kind: ``number``, ``date`` or ``date with a time zone``.
        moment: What times of one kind are sorted by: the number, or microseconds since 1970, in UTC
            where the zone is known.
        clock: What a clock at the place shows: the number, or microseconds since 1970 there.
    """

    kind: str
    moment: float | int
    clock: float | int


def read_time(text: str) -> Time | None:
    """The time that a text is; None where it is none. Dates may be written with ``/``, too."""
    try:
        number = float(text)
    except ValueError:
        return _date(text)
    # float() also takes 1_000, nan and infinity.
    is_plain = math.isfinite(number) and "_" not in text
    return Time("number", number, number) if is_plain else None


def _date(text: str) -> Time | None:
    text = text.replace("/", "-")
    try:
        # Python 3.10 does not know Z.
        found = datetime.fromisoformat(text.removesuffix("Z") + "+00:00" * text.endswith("Z"))
    except ValueError:
        return None
    clock = (found.replace(tzinfo=None) - START) // MICROSECOND
    if found.tzinfo is None:
        return Time("date", clock, clock)
    moment = (found - START.replace(tzinfo=timezone.utc)) // MICROSECOND
    return Time("date with a time zone", moment, clock)
