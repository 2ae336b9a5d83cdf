"""The page of recorded results is what its files say."""

import json
import re
from pathlib import Path

from dlplug.run.environment import surroundings
from tests.bench import ops_record, page, record, training_record


def test_the_page_shows_the_files():
    """The page equals what the JSON files give: no figure is written by hand."""
    assert page.PAGE.read_text() == page.page(record.read_records())


def test_what_is_slowest_comes_first():
    """A loss stands above every win, with the reason why a peer has no time."""
    rows = [
        result(name, {"torch": {"ms": ratio, "ratio": ratio, "error": 0.0}, "x": {"missing": "x"}})
        for name, ratio in (("win", 3.0), ("loss", 0.5))
    ]
    fields = {"processor": "P", "isa": "avx2", "cpus": 1, "gpus": [], "torch": "2.13"}
    text = ops_record.section({**fields, "rows": rows})
    loss = "| loss | 1 | 1 | torch 0.50*; x missing: x | 50% | 1.0e-07, 0.0e+00 |  | loss |"
    assert text.index(loss) < text.index("| win | 1 | 1 | torch 3.00*; ")
    assert "2 rows: 1 faster than every peer, 1 slower than the best peer, 0 routed" in text


SHOWN = re.compile(r"<!-- ((?:ops|training)-[\w-]+) -->\n(.*?)<!-- end of \1 -->", re.S)
SHORT = {kind.KIND: kind.short_table for kind in (ops_record, training_record)}


def stale(text: str) -> list[str]:
    """Records of which a text shows another table than the file gives."""
    return [
        name
        for name, table in SHOWN.findall(text)
        if table.strip() != short_table(record.read_record(name)).strip()
    ]


def short_table(found: dict) -> str:
    return SHORT[found["kind"]](found)


def test_tables_in_the_readme_are_those_of_the_files():
    """No figure is written by hand."""
    assert stale((Path(__file__).parents[2] / "README.md").read_text()) == []


def test_a_stale_table_would_be_noticed(tmp_path, monkeypatch):
    """Every loss is listed in it."""
    monkeypatch.setattr(record, "FOLDER", tmp_path)
    rows = [
        result(name, {"torch": {"ms": ratio, "ratio": ratio, "error": 0.0}})
        for name, ratio in (("norm a", 3.0), ("norm b", 0.5), ("norm c", 0.75), ("adamw x", 1.5))
    ]
    rows.append(result("norm d", rows[0]["peers"]) | {"is_routed": True})
    rows.append(
        {
            "row": "late e",
            "device": "cpu",
            "threads": 1,
            "allocator": "tuned",
            "skipped": "too little",
        }
    )
    (tmp_path / "ops-x.json").write_text(json.dumps({"kind": "ops", "rows": rows}))
    table = ops_record.short_table({"rows": rows})
    lost = "b, 1 thread 0.50; c, 1 thread 0.75"
    assert f"| norm | 4 | 1 | 2 | 1 | 0.50 to 3.00, median 0.75 | {lost} |" in table
    assert "| adamw | 1 | 1 | 0 | 0 | 1.50 to 1.50, median 1.50 |  |" in table
    assert "| late | 1 | 0 | 0 | 0 |  |  |" in table
    page = f"<!-- ops-x -->\n\n{table}\n<!-- end of ops-x -->"
    assert stale(page) == [] and stale(page.replace("0.75", "0.76")) == ["ops-x"]


def result(name: str, peers: dict) -> dict:
    """Of a row, as `dlplug.bench.measure` gives it and a record keeps it."""
    return {
        "row": name, "device": "cpu", "threads": 1, "allocator": "tuned",
        "backend": "cpu", "is_routed": False,
        "is_exact": True, "ms": 1.0, "error": 1e-7, "peers": peers, "best": "torch",
        "limit": 0.5, "limit_of": "a copy", "commit": "abc", "date": "2026-01-01",
    }  # fmt: skip


def test_a_record_is_written_with_the_page(tmp_path, monkeypatch):
    """Both kinds stand on the page, each under its heading; reading gives what was written."""
    monkeypatch.setattr(record, "FOLDER", tmp_path)
    monkeypatch.setattr(page, "FOLDER", tmp_path)
    monkeypatch.setattr(page, "PAGE", tmp_path / "README.md")
    here = surroundings()
    written = {"kind": "ops", **here, "isa": "avx2", "gpus": [], "rows": []}
    page.write_record("machine", written)
    page.write_record("chaos-machine", {"kind": "chaos", **here, "rows": []})
    page.write_record("training-machine", {"kind": "training", **here, "rows": []})
    text = (tmp_path / "README.md").read_text()
    headings = ("## Fused", "### machine", "## Trainings", "### training-machine")
    places = [text.index(h) for h in (*headings, "## Faults", "### chaos-machine")]
    assert places == sorted(places)
    assert record.read_record("machine") == {"name": "machine", **written}
    assert [found["name"] for found in record.read_records("chaos")] == ["chaos-machine"]
    assert record.read_record("another") is None
