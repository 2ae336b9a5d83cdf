"""Timing rows into a file."""

import json

import pytest

from dlplug.bench import session
from dlplug.bench.row import Row
from tests.bench.test_measure import work
from tests.gpu_check import times


def broken():
    raise RuntimeError("the kernel was refused")


@pytest.fixture(autouse=True)
def few_rows(monkeypatch):
    """Instead of the real ones; the second fails until it is mended."""
    rows = [Row("norm one", work, 0, is_quick=True), Row("norm two", broken, 0)]
    monkeypatch.setattr(session, "rows", lambda device: iter(rows))
    monkeypatch.setattr(session, "SECONDS", 0.0)
    return rows


def measured(capsys):
    return [line.split("]")[0] for line in capsys.readouterr().out.splitlines() if line[0] == "["]


def test_without_a_text_it_is_the_small_set(tmp_path, capsys):
    """A row that is there is not measured again, until the sources change."""
    path = str(tmp_path / "ops-here.json")
    assert times.main(path, "abc", device="cpu") == 0
    (row,) = json.loads((tmp_path / "ops-here.json").read_text())["rows"]
    assert row["row"] == "norm one" and row["commit"].endswith(", sources abc")
    assert measured(capsys) == ["[1/1"]
    assert times.main(path, "abc", device="cpu") == 0 and measured(capsys) == []
    assert times.main(path, "def", device="cpu") == 0 and measured(capsys) == ["[1/1"]


def test_a_row_that_failed_keeps_failing(few_rows, tmp_path, capsys):
    """Beside what was measured before; it is told by its reason."""
    path = str(tmp_path / "ops-here.json")
    times.main(path, "abc", device="cpu")
    assert times.main(path, "abc", "norm", device="cpu") == 1
    assert "[2/2] norm two" in (out := capsys.readouterr().out) and "the kernel was refused" in out
    assert times.main(path, "abc", "norm", device="cpu") == 1
    assert times.main(path, "abc", "one", device="cpu") == 0
