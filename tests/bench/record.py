"""Recorded results: one JSON file per machine, and the page that shows them.

``python -m tests.bench.record`` writes the page anew from the files.
"""

import json
from pathlib import Path

FOLDER = Path(__file__).parent / "results"
PAGE = FOLDER / "README.md"
HEAD = """# Recorded results

Time of the peer / time of dlplug, medians of one interleaved run on an otherwise idle machine:
above 1 dlplug is faster. Made by `python -m tests.bench.ops --record NAME`; a test compares this
page with the JSON files beside it.
"""


def page(records: list[dict]) -> str:
    """The page of all records; in each, what dlplug is worst at comes first."""
    return "\n".join([HEAD, *(_section(record) for record in records)])


def read_records() -> list[dict]:
    """The records in the folder, each with its file's name under ``name``."""
    paths = sorted(FOLDER.glob("*.json"))
    return [{"name": path.stem, **json.loads(path.read_text())} for path in paths]


def write_record(name: str, record: dict) -> None:
    """Write ``results/<name>.json``, and the page anew."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    PAGE.write_text(page(read_records()))


def _section(record: dict) -> str:
    rows = sorted(record["rows"], key=_smallest_ratio)
    lines = [
        f"## {record['name']}",
        "",
        f"{record['isa']}, {record['threads']} threads on {record['cpus']} cores, torch"
        f" {record['torch']}.",
        "",
        "| case | ms | peers |",
        "|---|---|---|",
    ]
    lines += [f"| {row['case']} | {row['ms']['dlplug']:.4g} | {_peers(row)} |" for row in rows]
    return "\n".join([*lines, ""])


def _smallest_ratio(row: dict) -> float:
    return min(ratio for name, ratio in row["ratio"].items() if name != "dlplug")


def _peers(row: dict) -> str:
    ratios = ((name, ratio) for name, ratio in row["ratio"].items() if name != "dlplug")
    return ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios)


if __name__ == "__main__":
    PAGE.write_text(page(read_records()))
