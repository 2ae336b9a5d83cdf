"""The record of rollbacks: rows by step."""

from dlplug.callbacks.rollback.record import cut_rollbacks
from dlplug.storage.json_lines import append_rows


def test_rows_after_a_step_are_cut(tmp_path):
    """Those up to it stay; a line torn by a crash goes; without a file nothing is written."""
    path = tmp_path / "rollbacks.jsonl"
    cut_rollbacks(path, 3)
    assert not path.exists()
    append_rows(path, [{"step": step} for step in (3, 8, 12)])
    with path.open("a") as file:
        file.write('{"step": 1')
    cut_rollbacks(path, 8)
    assert path.read_text() == '{"step": 3}\n{"step": 8}\n'
