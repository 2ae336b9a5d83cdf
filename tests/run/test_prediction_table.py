"""PredictionTable: one CSV of many batches."""

import io
from contextlib import closing

import pytest

from dlplug.errors import ConfigError
from dlplug.run.prediction_table import PredictionTable
from dlplug.storage.unnamed_file import UnnamedFile


def written(path, *batches, **options):
    """The lines of a table whose batches are lists of rows, after the columns."""
    with closing(UnnamedFile(path)) as file:
        table = PredictionTable(file, lambda batch: (batch[0], batch[1:]), **options)
        for batch in batches:
            table.add(Batch(batch))
        content = io.BytesIO()
        file.copy_to(content)
    return content.getvalue().decode().splitlines()


class Batch(list):
    """Columns, then rows; as many records as rows, unless `per_record` rows are one."""

    per_record = 1

    def __len__(self):
        return (super().__len__() - 1) // self.per_record


def test_batches_become_one_table(tmp_path):
    """Rows are counted on; numbers have six digits, words stay as they are."""
    columns = ["word", "number"]
    first, second = [columns, ["a,b", 1 / 3], ["c", 2.0]], [columns, ["d", 5]]
    assert written(tmp_path / "a.csv", first, second) == [
        "index,word,number",
        '0,"a,b",0.333333',
        "1,c,2",
        "2,d,5",
    ]


def test_names_of_inputs_stand_in_front(tmp_path):
    """Of every batch its own."""
    batches = [[["n"], [1], [2]], [["n"], [3]]]
    lines = written(tmp_path / "a.csv", *batches, names=["x.png", "y.png", "z.png"])
    assert lines == ["index,input,n", "0,x.png,1", "1,y.png,2", "2,z.png,3"]


def test_records_are_counted_on(tmp_path, monkeypatch):
    """In a table with several rows for each."""
    monkeypatch.setattr(Batch, "per_record", 2)
    batch = [["record", "token"], [0, "a"], [0, "b"]]
    longer = [["record", "token"], [0, "c"], [0, "d"], [1, "e"], [1, "f"]]
    lines = written(tmp_path / "a.csv", batch, longer, batch, record_column="record")
    assert lines[0] == "index,record,token"
    assert [line.split(",")[1] for line in lines[1:]] == list("00112233")


def test_other_columns_are_refused(tmp_path):
    """As where outputs grow from batch to batch; nothing is left."""
    batches = [[["a", "b"], [1, 2]], [["a", "b", "c"], [1, 2, 3]]]
    with pytest.raises(ConfigError, match="from record 1 on have other columns") as error:
        written(tmp_path / "a.csv", *batches)
    assert "a, b, c; before: a, b" in str(error.value) and not list(tmp_path.iterdir())


def test_names_are_never_given_to_other_rows(tmp_path, monkeypatch):
    """Of a task that has several rows for a record and does not say so, in any batch."""
    first, second = [["n"], [1], [2]], [["n"], [3], [4]]
    monkeypatch.setattr(Batch, "__len__", lambda batch: 2 if batch[1] == [1] else 1)
    with pytest.raises(ConfigError, match="2 rows for 1 predictions and 1 inputs") as error:
        written(tmp_path / "a.csv", first, second, names=["x", "y", "z"])
    assert "rows_are_records = False" in error.value.fix
