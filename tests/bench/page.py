"""The page of all recorded results.

``python -m tests.bench.page`` writes it anew from the JSON files.
"""

import json

from tests.bench import ops_record, training_record
from tests.bench.record import FOLDER, read_records
from tests.chaos import record as chaos_record

PAGE = FOLDER / "README.md"
HEAD = """# Recorded results

One JSON file for each machine and kind; a test compares this page with the files beside it.
"""
KINDS = {
    ops_record.KIND: (
        """## Fused ops

Time of the peer / time of dlplug, medians of one interleaved run on an otherwise idle machine:
above 1 dlplug is faster. The best peer that computes the same is marked. `limit` is the share of
what the machine did in the same rounds with the same streams of memory or, for attention, with a
large matrix product; errors are against float64. Made by
`python -m dlplug bench ops --record NAME`.
""",
        ops_record.section,
    ),
    training_record.KIND: (
        """## Trainings

A whole training step with PyTorch's ops (LayerNorm, attention, clipping, fused AdamW) / the same
with dlplug's: phases of one training in random order, medians of the ratios within a round. Made
by `python -m tests.bench.training --record NAME`.
""",
        training_record.section,
    ),
    chaos_record.KIND: (
        """## Faults

How many faults of each kind were injected into trainings, and after how many of them everything
required held. Made by `python -m tests.chaos --record NAME`.
""",
        chaos_record.section,
    ),
}


def page(records: list[dict]) -> str:
    """The page of all records, by kind."""
    parts = [HEAD]
    for kind, (head, section) in KINDS.items():
        ours = [record for record in records if record["kind"] == kind]
        parts += [head] if ours else []
        parts += [f"### {record['name']}\n\n{section(record)}" for record in ours]
    return "\n".join(parts)


def write_record(name: str, record: dict) -> None:
    """Write ``results/<name>.json``, and the page anew.

    Args:
        name: Of the file, without its ending.
        record: With its ``kind``, one of `KINDS`.
    """
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    write_page()


def write_page() -> None:
    """Write the page from the files."""
    PAGE.write_text(page(read_records()))


if __name__ == "__main__":
    write_page()
