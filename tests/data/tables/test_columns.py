"""Columns: numbers or words, and each bad cell by file, line and column."""

import datetime
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from dlplug.data.tables.columns import Columns
from dlplug.data.tables.source import Source
from dlplug.errors import DataError


def columns(**values):
    return Columns(Source("t.csv", pa.table(values), lambda row: f"line {row + 2}"))


def test_texts_become_numbers():
    """Signs, exponents, blanks around them, and every word for missing."""
    cells = [" 1", "-2.5", "+3", "1e3", ".5", "4.", "", "NA", "nan", "?"]
    values = columns(x=cells).numbers("x")
    np.testing.assert_array_equal(values, [1, -2.5, 3, 1000, 0.5, 4, *[np.nan] * 4])


def test_nine_in_ten_make_a_column_of_numbers():
    """Then the tenth is a fault; below that, all are words. Missing cells do not count."""
    assert columns(x=[*"123456789", "x", "", ""]).is_number("x")
    assert not columns(x=[*"12345678", "x", "y"]).is_number("x")
    assert columns(x=["", ""]).is_number("x")


def test_a_comma_parts_a_fraction_where_it_is_said():
    """Then a point does not."""
    source = columns(x=["0,5", "-1", "+2,", ",25", "1,5e3", "NA"]).source
    table = Columns(replace(source, decimal=","))
    assert table.is_number("x")
    np.testing.assert_array_equal(table.numbers("x"), [0.5, -1, 2, 0.25, 1500, np.nan])
    source = columns(x=["0,5", "0.5"]).source
    with pytest.raises(DataError, match=r"line 3, column 'x': '0\.5' is no finite number"):
        Columns(replace(source, decimal=",")).numbers("x")


def test_numbers_with_a_comma_are_no_words():
    """Each would be a word of its own; the first is named, with what to do."""
    with pytest.raises(DataError, match="line 3, column 'x': '0,9417' is a number with") as error:
        columns(x=["1", "0,9417", "2,5", "", "NA"]).is_number("x")
    assert "data.decimal to ','" in error.value.fix and "data.categorical" in error.value.fix
    assert not columns(x=["0,9417", "a", "b"]).is_number("x")
    assert not columns(x=["1,2,3", "4,5,6"]).is_number("x")


def test_a_comma_may_part_thousands():
    """17,042 is none of the fractions that data.decimal would make of it, 17.042."""
    for cells in (["17,042", " 900,000 ", "12"], ["1,000", "", "-2,000"]):
        with pytest.raises(DataError, match=r"a comma, .*; the comma may part thousands") as error:
            columns(x=cells).is_number("x")
        assert error.value.fix.startswith("write the file without commas where they part thousand")
    with pytest.raises(DataError) as error:
        columns(x=["17,042", "0,25"]).is_number("x")
    assert "thousands" not in str(error.value) and error.value.fix.startswith("set data.decimal")


@pytest.mark.parametrize("cell", ["abc", "1,5", "inf", "1e999", "0x10", "1_0"])
def test_a_word_among_numbers_is_named(cell):
    """With line and column, the others, and what to do."""
    with pytest.raises(DataError, match="line 4, column 'x'") as error:
        columns(x=["1", "2", cell, "3", "y"]).numbers("x")
    assert f"{cell!r} is no finite number (and 1 more: t.csv, line 6" in str(error.value)
    assert "data.missing" in str(error.value) and "data.categorical" in str(error.value)


@pytest.mark.parametrize("cells", [["0,31", "2,5"], ["17,042"], ["1", "0.31kg"]])
def test_no_fix_makes_words_of_what_a_training_had_as_numbers(cells):
    """The run would refuse it."""
    table = Columns(columns(x=cells).source, is_learned=True)
    with pytest.raises(DataError, match=r"line [23], column .x.: ") as error:
        assert not table.is_number("x")  # it is asked first: a comma has an error of its own
        table.numbers("x")
    assert "word" not in str(error.value) and "categorical" not in str(error.value)
    assert error.value.fix


def test_typed_columns_of_parquet():
    """Integers, booleans, dates (in days), decimals and dictionaries."""
    days = [datetime.date(1970, 1, 2), None]
    table = columns(
        i=[1, None], b=[True, False], d=days, c=pa.array(["a", "b"]).dictionary_encode()
    )
    np.testing.assert_array_equal(table.numbers("i"), [1, np.nan])
    np.testing.assert_array_equal(table.numbers("b"), [1, 0])
    np.testing.assert_array_equal(table.numbers("d"), [1, np.nan])
    assert table.words("c").to_pylist() == ["a", "b"] and not table.is_number("c")
    assert table.words("i").to_pylist() == ["1", None]
    assert columns(f=[1.0, 2.0]).words("f").to_pylist() == ["1", "2"]
    assert columns(f=[1.5, None]).words("f").to_pylist() == ["1.5", None]


def test_large_whole_numbers_and_fine_times_are_rounded():
    """float64 holds 53 bits, and a day is no nanosecond."""
    stamps = pa.array([86_400_000_000_000_001], pa.int64()).cast(pa.timestamp("ns"))
    table = columns(i=[2**60 + 1], t=stamps)
    assert table.numbers("i").tolist() == [2.0**60]
    assert table.numbers("t").tolist() == [1000.0]
    assert table.words("i").to_pylist() == [str(2**60 + 1)]


def test_infinite_numbers_of_parquet_are_named():
    """They would end the training with NaN."""
    with pytest.raises(DataError, match="line 3, column 'x': inf is no finite number"):
        columns(x=[1.0, float("inf")]).numbers("x")
    assert columns(x=[1.0, float("inf"), None]).words("x").to_pylist() == ["1", "inf", None]
    assert columns(x=[1.0, 1e30]).words("x").to_pylist() == ["1", "1e+30"]


def test_columns_of_lists_are_refused():
    """Neither numbers nor words."""
    with pytest.raises(DataError, match=r"column 'x': list<.*neither a number nor a word"):
        columns(x=[[1], [2]]).is_number("x")


def test_a_missing_column_is_named():
    """With the known ones and the nearest."""
    with pytest.raises(DataError, match="has no column 'prize'") as error:
        columns(price=[1], cut=[2]).numbers("prize")
    assert "known: price, cut" in str(error.value) and "did you mean 'price'" in str(error.value)
