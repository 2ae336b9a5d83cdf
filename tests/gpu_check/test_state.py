"""What counts of an earlier run of the check."""

import json

from tests.gpu_check.part import Part
from tests.gpu_check.state import NOTHING, State, digest


def test_what_passed_counts_until_the_sources_change(tmp_path):
    """Not by date: a copy of a checkout has new dates, and no history."""
    (tmp_path / "csrc").mkdir()
    (tmp_path / "csrc" / "a.cu").write_text("one")
    before = digest(tmp_path)
    report = tmp_path / "gpu-check-here.json"
    assert State(report, before).result("build") == NOTHING
    parts = {"build": {"status": "passed"}, "tests": {"status": "failed"}}
    report.write_text(json.dumps({"sources": before, "parts": parts}))
    state = State(report, digest(tmp_path))
    assert state.has_passed("build") and not state.has_passed("tests")
    (tmp_path / "csrc" / "a.cu").write_text("two")
    after = digest(tmp_path)
    assert State(report, after).result("build") == NOTHING and after != before
    (tmp_path / "CMakeLists.txt").write_text("option")
    assert digest(tmp_path) != after


def test_what_was_never_run_comes_before_what_failed(tmp_path):
    """And before what starts from its beginning again; rows that are timed go on."""
    state = State(tmp_path / "none", "abc")
    given = {"build": "failed", "tests": "failed", "floors": "unfinished", "train": "unfinished"}
    state.parts = {name: {"status": status} for name, status in given.items()}
    parts = [
        Part("build", "", list, is_repeated=True),
        Part("tests", "", list),
        Part("floors", "", list, goes_on=True),
        Part("train", "", list),
        Part("new", "", list),
    ]
    names = [part.name for part in state.in_turn(parts)]
    assert names == ["build", "floors", "new", "tests", "train"]
