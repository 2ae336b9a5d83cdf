"""The page of recorded results is what its files say."""

from tests.bench import ops_record, page, record


def test_the_page_shows_the_files():
    """The page equals what the JSON files give: no figure is written by hand."""
    assert page.PAGE.read_text() == page.page(record.read_records())


def test_what_is_slowest_comes_first():
    """A loss stands above every win."""
    rows = [
        {"case": name, "ms": {"dlplug": 1.0}, "ratio": {"dlplug": 1.0, "torch": ratio}}
        for name, ratio in (("win", 3.0), ("loss", 0.5))
    ]
    fields = {"isa": "avx2", "threads": 1, "cpus": 1, "torch": "2.13"}
    text = ops_record.section({**fields, "rows": rows})
    assert text.index("| loss | 1 | torch 0.50 |") < text.index("| win | 1 | torch 3.00 |")


def test_a_record_is_written_with_the_page(tmp_path, monkeypatch):
    """Both kinds stand on the page, each under its heading; reading gives what was written."""
    monkeypatch.setattr(record, "FOLDER", tmp_path)
    monkeypatch.setattr(page, "FOLDER", tmp_path)
    monkeypatch.setattr(page, "PAGE", tmp_path / "README.md")
    here = record.surroundings()
    assert here["cpus"] >= 1 and here["torch"] and here["date"] and here["commit"]
    written = {"kind": "ops", **here, "isa": "avx2", "threads": 1, "rows": []}
    page.write_record("machine", written)
    page.write_record("chaos-machine", {"kind": "chaos", **here, "rows": []})
    text = (tmp_path / "README.md").read_text()
    places = [text.index(h) for h in ("## Fused", "### machine", "## Faults", "### chaos-machine")]
    assert places == sorted(places)
    assert record.read_record("machine") == {"name": "machine", **written}
    assert [found["name"] for found in record.read_records("chaos")] == ["chaos-machine"]
    assert record.read_record("another") is None
