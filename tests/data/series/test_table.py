"""read_table: columns of numbers, times, and what is wrong with a row."""

import numpy as np
import pytest

from dlplug.data.series.table import calendar_features, read_table
from dlplug.errors import DataError

DAY = 86400.0


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_columns_in_the_order_asked_for(tmp_path, delimiter):
    """Whatever divides them; what is missing is NaN, and empty lines are none."""
    text = "a,b,c\n1,2,3\n\n4,NA,6\n".replace(",", delimiter)
    (tmp_path / "x.csv").write_text(text)
    table = read_table(tmp_path / "x.csv", ["c", "b"])
    np.testing.assert_array_equal(table.values, [[3, 2], [6, np.nan]])
    assert table.lines == [2, 4] and table.times is None


def test_dates_become_seconds(tmp_path):
    """With either divider of a date; numbers stay numbers."""
    (tmp_path / "x.csv").write_text("d,n,v\n1970/01/02,3,1\n1970-01-03T00:00,4,2\n")
    dated = read_table(tmp_path / "x.csv", ["v"], "d")
    assert dated.times.tolist() == [DAY, 2 * DAY] and dated.is_dated
    numbered = read_table(tmp_path / "x.csv", ["v"], "n")
    assert numbered.times.tolist() == [3, 4] and not numbered.is_dated


SPRING = ["00:00+01:00", "01:00+01:00", "03:00+02:00", "04:00+02:00"]
AUTUMN = ["01:00+02:00", "02:00+02:00", "02:00+01:00", "03:00+01:00"]


def dated(path, day, words):
    """A file with such times of a day."""
    path.write_text("d,v\n" + "".join(f"{day}T{word},1\n" for word in words))
    return read_table(path, ["v"], "d")


def test_clocks_may_be_changed_where_the_zone_is_told(tmp_path):
    """The times rise evenly in UTC; the calendar's are those on the clock."""
    times = dated(tmp_path / "x.csv", "2024-03-31", SPRING).times
    assert ((times - times[0]) / 3600).tolist() == [0, 1, 3, 4]
    assert times[0] % DAY == 0
    times = dated(tmp_path / "x.csv", "2024-10-27", AUTUMN).times
    assert ((times - times[0]) / 3600).tolist() == [0, 1, 1, 2]
    times = dated(tmp_path / "x.csv", "2024-10-27", ["01:00Z", "02:00Z"]).times
    assert (times % DAY).tolist() == [3600, 7200]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["00:00+02:00", "01:00+02:00", "02:00+01:00", "03:00+01:00"], "there is a gap between"),
        (["01:00+02:00", "02:00+02:00", "02:00+02:00"], "is not after"),
        (["01:00+02:00", "02:00"], "is a date, and the first time is a date with a time zone"),
    ],
)
def test_even_on_the_clock_is_not_enough(tmp_path, words, message):
    """An hour that is not there, one that is there twice, and one that nobody knows."""
    with pytest.raises(DataError, match=f"column 'd': .*{message}"):
        dated(tmp_path / "x.csv", "2024-10-27", words)


def test_the_calendar_goes_round():
    """Noon is opposite of midnight, and a week later is the same day of the week."""
    times = np.array([0.0, DAY / 2, 7 * DAY])
    day = calendar_features(times, ["day"])
    np.testing.assert_allclose(day, [[0, 1], [0, -1], [0, 1]], atol=1e-9)
    week = calendar_features(times, ["week", "year"])
    assert week.shape == (3, 4)
    np.testing.assert_allclose(week[0, :2], week[2, :2], atol=1e-9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,t\n1,1\n", "no columns 'v'\n  known: a, t"),
        ("v,v,t\n1,1,1\n", "2 columns 'v'"),
        ("v,t\n", "has no rows below its header"),
        ("", "no columns 'v'"),
        ("v,t\n1,1\n2\n", "line 3: 1 values for 2 columns"),
        ("v,t\n1,1\nx,2\n", "line 3, column 'v': 'x' is no number"),
        ("v,t\n1,1\ninf,2\n", "line 3, column 'v': 'inf' is no number"),
        ("v,t\n1,soon\n", "line 2, column 't': 'soon' is no time"),
        ("v,t\n1,1\n1,nan\n", "line 3, column 't': 'nan' is no time"),
        ("v,t\n1,1\n1,\n", "line 3, column 't': the time is missing"),
        ("v,t\n1,1\n1,1970-01-02\n", "'1970-01-02' is a date, and the first time is a number"),
        ("v,t\n1,2\n1,2\n", "line 3, column 't': '2' is not after '2'"),
        ("v,t\n1,1\n1,2\n1,3\n1,5\n", "line 5, column 't': there is a gap between '3' and '5'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, message):
    """With file, line and column."""
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError) as error:
        read_table(tmp_path / "x.csv", ["v"], "t")
    assert message in str(error.value) and str(tmp_path / "x.csv") in str(error.value)
