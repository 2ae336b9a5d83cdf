"""read_csv: text as it stands, and one clear error for each way in which a file can be wrong."""

import gzip

import pytest

from dlplug.data.tables.csv_file import read_csv
from dlplug.errors import DataError


def written(tmp_path, text, name="t.csv", encoding="utf8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def test_cells_stay_as_they_are(tmp_path):
    """Numbers, words, quotes, line breaks in quotes, and a byte order mark."""
    text = '\ufeffa,b\n1,"x, y"\n\n02,"two\nlines"\n'
    table = read_csv(written(tmp_path, text)).table
    assert table.to_pydict() == {"a": ["1", "02"], "b": ["x, y", "two\nlines"]}


def test_lines_are_counted_as_an_editor_does(tmp_path):
    """Empty lines and cells of several lines are lines, too."""
    source = read_csv(written(tmp_path, 'a,b\n1,"two\nlines"\n\n2,x\n'))
    assert [source.place(row) for row in (0, 1)] == ["line 2", "line 5"]


def test_packed_files_other_delimiters_and_files_without_names(tmp_path):
    """The arguments that say how a file looks."""
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"1;2\n3;4\n"))
    source = read_csv(path, delimiter=";", column_names=["x", "y"])
    assert source.table.to_pydict() == {"x": ["1", "3"], "y": ["2", "4"]}
    assert source.place(1) == "line 2"
    latin = read_csv(written(tmp_path, "a\nä\n", encoding="latin1"), encoding="latin1")
    assert latin.table.to_pydict() == {"a": ["ä"]}


@pytest.mark.parametrize(("text", "message"), [
    ("", r"is empty\n  fix:   it needs a line of column names"),
    ("a,b\n", r"has no records\n  known: columns: a, b"),
    ("a,b\n1,2\n3\n", r"line 3: 1 cells in a table of 2 columns"),
    ("a,b\n1,2\n\n3,4,5\n", r"line 4: 3 cells in a table of 2 columns"),
    ("a,b,a\n1,2,3\n", r"has 2 columns named 'a'"),
    ('a,b\n1,2\n3,"4\n5,6\n', r"a quote in the record after line 2 is never closed"),
])  # fmt: skip
def test_faults_are_named(tmp_path, text, message):
    """File, line, and what to do."""
    with pytest.raises(DataError, match=message) as error:
        read_csv(written(tmp_path, text))
    assert "t.csv" in str(error.value)


def test_a_cell_may_be_a_document(tmp_path):
    """Of more than the 131,072 characters at which the standard library stops counting lines."""
    long = "x" * 200_000
    source = read_csv(written(tmp_path, f"a,b\n1,{long}\n2,y\n"))
    assert source.place(1) == "line 3"
    with pytest.raises(DataError, match="line 3: 1 cells in a table of 2 columns"):
        read_csv(written(tmp_path, f"a,b\n1,{long}\n2\n"))


@pytest.mark.parametrize("place", ["names", "cell"])
def test_a_row_may_be_longer_than_a_block(tmp_path, place):
    """pyarrow reads a megabyte at a time, and refuses a row that two ends of blocks part."""
    long = "x" * 3_000_000
    name, cell = (long, "y") if place == "names" else ("b", long)
    for end in ("", ".gz"):
        path = written(tmp_path, f"a,{name}\n1,{cell}\n2,z\n", "t.csv")
        if end:
            path = tmp_path / "t.csv.gz"
            path.write_bytes(gzip.compress((tmp_path / "t.csv").read_bytes()))
        assert read_csv(path).table.to_pydict() == {"a": ["1", "2"], name: [cell, "z"]}
    with pytest.raises(DataError, match="line 3: 1 cells in a table of 2 columns"):
        read_csv(written(tmp_path, f"a,{name}\n1,{cell}\n2\n"))
    with pytest.raises(DataError, match="a quote in the record after line 2 is never closed"):
        read_csv(written(tmp_path, f'a,{name}\n1,{cell}\n2,"z\n' + "4,5\n" * 600_000))


def test_another_encoding_is_named(tmp_path):
    """A file of Latin 1 read as UTF-8, in the names and in the cells."""
    for text in ("ä\n1\n", "a\nä\n"):
        with pytest.raises(DataError, match=r"(?s)cannot be read as utf8 text.*data.encoding"):
            read_csv(written(tmp_path, text, encoding="latin1")).table.column(0).to_pylist()


def test_what_is_not_packed_is_refused(tmp_path):
    """A name that ends in .gz, and a file that is none."""
    for names in (None, ["a"]):
        with pytest.raises(DataError, match=r"t.csv.gz cannot be read"):
            read_csv(written(tmp_path, "a\n1\n", "t.csv.gz"), column_names=names)


def test_a_folder_is_no_file(tmp_path):
    """The message holds the path."""
    with pytest.raises(DataError, match="is no file"):
        read_csv(tmp_path)
