"""The files that a check leaves."""

import json

import torch

from tests.bench.test_record import result
from tests.gpu_check import report
from tests.gpu_check.state import NOTHING


def test_one_file_has_parts_and_rows_and_one_page_shows_them(tmp_path):
    """And what a failed part printed; three files are copied, whatever else there is."""
    failed = {"status": "failed", "seconds": 2.0, "detail": "no", "output": "a trace\n"}
    results = {"build": failed, "tests": NOTHING}
    work, folder = tmp_path / "work", tmp_path / "out"
    work.mkdir()
    folder.mkdir()
    (work / "build.log").touch()
    report.write(work, "here", "abc", results)
    assert "rows" not in json.loads((work / "gpu-check-here.json").read_text())
    row = result("norm x", {"torch": {"ms": 3.0, "ratio": 3.0, "error": 0.0}})
    place = {"processor": "P", "isa": "avx2", "cpus": 1, "gpus": ["G"], "torch": "2.13"}
    (work / "ops-here.json").write_text(json.dumps({**place, "rows": [row]}))
    report.write(work, "here", "abc", results)
    report.copy(work, "here", folder)
    record = json.loads((folder / "gpu-check-here.json").read_text())
    assert record["parts"] == results and record["torch"] == torch.__version__
    assert record["rows"] == [row] and record["sources"] == "abc" and "driver" in record
    page = (folder / "gpu-check-here.md").read_text()
    assert "| build | failed | 2 | no |" in page and "a trace" in page and "not run" in page
    assert "1 rows: 1 faster" in page and "| norm x |" in page
    names = ["gpu-check-here.json", "gpu-check-here.md", "ops-here.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
