"""read_series: the formats, and what is wrong with a line."""

import numpy as np
import pytest

from dlplug.data.series.series_file import read_series
from dlplug.errors import DataError

HEADER = "# about\n@problemName x\n@timeStamps false\n@classLabel true a b\n@data\n"


def test_ts_files_have_channels(tmp_path):
    """Divided by colons, the class last; a question mark is a missing value."""
    (tmp_path / "x.ts").write_text(HEADER + "1,2,3:4,?,6:a\n\n7,8:9,10:b\n")
    first, second = read_series(tmp_path / "x.ts")
    np.testing.assert_array_equal(first.values, [[1, 4], [2, np.nan], [3, 6]])
    assert (first.label, first.line, second.label, second.line) == ("a", 6, "b", 8)
    assert second.values.shape == (2, 2)


def test_ts_files_may_have_no_classes(tmp_path):
    """Then the last part is a channel too."""
    (tmp_path / "x.ts").write_text("@classLabel false\n@data\n1,2:3,4\n")
    (one,) = read_series(tmp_path / "x.ts")
    assert one.values.shape == (2, 2) and one.label is None


@pytest.mark.parametrize("line", ["1.0e+00  2.5  3.5", "1\t2.5\t3.5", "1,2.5,3.5"])
def test_rows_begin_with_the_class(tmp_path, line):
    """In all the ways in which the collection has been written."""
    (tmp_path / "x.txt").write_text(line + "\n")
    (one,) = read_series(tmp_path / "x.txt")
    assert one.label == "1" and one.values.tolist() == [[2.5], [3.5]]


@pytest.mark.parametrize(
    "line", ["1,0.5,,0.7", "1, 0.5, , 0.7", "1\t0.5\t\t0.7", " 1 0.5,,0.7", "1,0.5,,0.7,,, "]
)
def test_a_cell_with_nothing_in_it_is_a_missing_value(tmp_path, line):
    """Those behind it stay where they are."""
    (tmp_path / "x.csv").write_text(line + "\n")
    (one,) = read_series(tmp_path / "x.csv")
    np.testing.assert_array_equal(one.values[:, 0], np.float32([0.5, np.nan, 0.7]))
    assert one.label == "1"


@pytest.mark.parametrize("end", [",", "\t", ", ", " ,\t, "])
def test_cells_with_nothing_in_them_may_end_a_line(tmp_path, end):
    """As a spreadsheet pads series of several lengths, and lines that hold nothing."""
    lines = ["1,0.5,0.7", f"2,0.5{end}{end}", f"1,0.5,0.7{end}", end * 3]
    (tmp_path / "x.csv").write_text("\n".join(lines) + "\n")
    series = read_series(tmp_path / "x.csv")
    assert [(one.label, len(one.values)) for one in series] == [("1", 2), ("2", 1), ("1", 2)]
    assert all(np.isfinite(one.values).all() for one in series)


def test_a_first_cell_with_nothing_in_it_is_no_class(tmp_path):
    """It is the class that is missing, and not the value behind it."""
    (tmp_path / "x.csv").write_text(",0.5,0.7\n\n \n")
    (one,) = read_series(tmp_path / "x.csv")
    assert one.label == "" and len(one.values) == 2


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.ts", HEADER + "1,zwei:a\n", "line 6, channel 1: 'zwei' is no number"),
        ("x.ts", HEADER + "1,inf:a\n", "line 6, channel 1: 'inf' is no number"),
        ("x.ts", HEADER + "1,2:3:a\n", "line 6: channels of 1 and of 2 values"),
        ("x.ts", HEADER + "1:2:a\n1:a\n", "line 7: 1 channels, the first series has 2"),
        ("x.ts", "1,2:a\n", "line 1: no header line, and no @data before it"),
        ("x.ts", "@classLabel true\n", "there is no line @data"),
        ("x.ts", "@timeStamps true\n@data\n", "line 1: values with time stamps are not read"),
        ("x.ts", HEADER, "holds no series"),
        ("x.txt", "", "holds no series"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, name, text, message):
    """With file and line."""
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as error:
        read_series(tmp_path / name)
    assert message in str(error.value) and str(tmp_path / name) in str(error.value)


def test_classes_that_are_no_whole_numbers_stay_apart(tmp_path):
    """1.5 is not 1."""
    (tmp_path / "x.txt").write_text("1.0 2 3\n1.5 2 3\n1e400 2 3\n")
    assert [one.label for one in read_series(tmp_path / "x.txt")] == ["1", "1.5", "1e400"]
