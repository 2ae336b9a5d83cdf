"""The record of rollbacks: rows by step."""

from dlplug.callbacks.rollback_record import append_row, cut_rows, read_rows


def test_rows_after_a_step_are_cut(tmp_path):
    """Those up to it stay; a line torn by a crash goes; without a file nothing is written."""
    path = tmp_path / "rollbacks.jsonl"
    cut_rows(path, 3)
    assert not path.exists() and read_rows(path) == []
    for step in (3, 8, 12):
        append_row(path, {"step": step})
    with path.open("a") as file:
        file.write('{"step": 1')
    assert [row["step"] for row in read_rows(path)] == [3, 8, 12]
    cut_rows(path, 8)
    assert path.read_text() == '{"step": 3}\n{"step": 8}\n'
