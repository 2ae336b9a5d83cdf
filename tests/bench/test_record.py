"""The page of recorded results is what its files say."""

from tests.bench import record


def test_the_page_shows_the_files():
    """The page equals what the JSON files give: no figure is written by hand."""
    assert record.PAGE.read_text() == record.page(record.read_records())


def test_what_is_slowest_comes_first():
    """A loss stands above every win."""
    rows = [
        {"case": name, "ms": {"dlplug": 1.0}, "ratio": {"dlplug": 1.0, "torch": ratio}}
        for name, ratio in (("win", 3.0), ("loss", 0.5))
    ]
    fields = {"name": "m", "isa": "avx2", "threads": 1, "cpus": 1, "torch": "2.13"}
    text = record.page([{**fields, "rows": rows}])
    assert text.index("| loss | 1 | torch 0.50 |") < text.index("| win | 1 | torch 3.00 |")
