"""read_time: numbers, dates and zones."""

import pytest

from dlplug.data.times import Time, read_time

HOUR = 3600 * 1_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-2.5", Time("number", -2.5, -2.5)),
        ("1970-01-01T02:00", Time("date", 2 * HOUR, 2 * HOUR)),
        ("1970/01/02", Time("date", 24 * HOUR, 24 * HOUR)),
        ("1970-01-01 02:00Z", Time("date with a time zone", 2 * HOUR, 2 * HOUR)),
        ("1970-01-01T02:00+01:30", Time("date with a time zone", HOUR // 2, 2 * HOUR)),
        ("1969-12-31T23:00-02:00", Time("date with a time zone", HOUR, -HOUR)),
    ],
)
def test_a_time_has_a_moment_and_a_clock(text, expected):
    """They differ by the zone."""
    assert read_time(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "nan", "inf", "1_000", "2024-13-01", "24:00"])
def test_what_is_no_time_is_none(text):
    """Nor is what Python takes for a number besides."""
    assert read_time(text) is None
