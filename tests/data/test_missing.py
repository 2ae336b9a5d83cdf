"""MISSING: every reader of files takes the same cells for unknown."""

import numpy as np
import pytest

from dlplug.data.missing import MISSING
from dlplug.data.series.series_file import read_series
from dlplug.data.series.table import read_table
from dlplug.data.tables.columns import Columns
from dlplug.data.tables.csv_file import read_csv
from dlplug.errors import DataError

WORDS = ("na", "N/A", "NaN", "null", "NULL", "none", "None", "?", "")


def of_table(path, cell):
    path.write_text(f"a,b\n1,1\n2,{cell}\n" + "3,3\n" * 10)
    return Columns(read_csv(path)).numbers("b")[1]


def of_series(path, cell):
    path.write_text(f"a,b\n1,1\n2,{cell}\n")
    return read_table(path, ["b"]).values[1, 0]


def of_series_file(path, cell):
    path.write_text(f"@classLabel true\n@data\n1,{cell}:yes\n")
    return read_series(path)[0].values[1, 0]


READERS = [(of_table, "csv"), (of_series, "csv"), (of_series_file, "ts")]


@pytest.mark.parametrize(("read", "ending"), READERS)
def test_readers_agree_on_what_is_missing(tmp_path, read, ending):
    """Whatever the capitals; any other word is a fault."""
    for cell in (*WORDS, *MISSING):
        assert np.isnan(read(tmp_path / f"x.{ending}", f" {cell} ")), cell
    with pytest.raises(DataError, match=r"'nil' is no (finite )?number"):
        read(tmp_path / f"x.{ending}", "nil")
