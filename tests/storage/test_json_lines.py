"""Files of one JSON object a line: whole lines, or none."""

import io
from pathlib import Path

import pytest

from dlplug.errors import StorageError
from dlplug.storage.json_lines import append_rows, read_rows, replace_rows


def test_objects_come_back_in_their_order(tmp_path):
    """Those of several calls; a missing file has none, and replacing leaves no other."""
    path = tmp_path / "rows.jsonl"
    assert read_rows(path) == []
    append_rows(path, [{"a": 1}, {"a": 2}])
    append_rows(path, [{"a": 3}])
    assert read_rows(path) == [{"a": 1}, {"a": 2}, {"a": 3}]
    replace_rows(path, [{"b": 1}])
    assert path.read_text() == '{"b": 1}\n' and list(tmp_path.iterdir()) == [path]


def test_a_torn_line_is_left_out(tmp_path):
    """The others stay."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"a"')
    assert read_rows(path) == [{"a": 1}]


def test_a_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    """The file is as it was, so that the next line is whole; the error says what is known."""
    path = tmp_path / "rows.jsonl"
    append_rows(path, [{"a": 1}])
    monkeypatch.setattr(Path, "open", lambda path, *how, **options: Full(path, "ab"))
    with pytest.raises(StorageError, match=r"rows\.jsonl cannot be written: No space") as error:
        append_rows(path, [{"a": 2}])
    assert error.value.exit_code == 74 and "bytes are free" in error.value.known
    monkeypatch.undo()
    assert path.read_text() == '{"a": 1}\n'


class Full(io.FileIO):
    """A file on a disk with room for four more bytes."""

    def write(self, data):
        if len(data) <= 4:
            raise OSError(28, "No space left on device")
        return super().write(data[:4])
