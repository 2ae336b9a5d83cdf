"""Choosing rows."""

from collections import Counter

import pytest
import torch

from dlplug.bench import one_row, session
from dlplug.bench.measure import measure
from dlplug.bench.row import Row
from tests.bench.test_measure import work


def test_names_are_unique():
    """A record holds rows by name."""
    counts = Counter(row.name for row in session.rows())
    assert max(counts.values()) == 1 and len(counts) > 100


@pytest.mark.parametrize(
    ("only", "names"),
    [
        (["adamw gpt2 float32 step"], ["adamw gpt2 float32 step"]),
        (["phase vit float32"], ["optimizer phase vit float32"]),
        (["phase vit", "N4096 D128 bfloat16 forward+backward"],
         ["optimizer phase vit float32",
          "attention causal B1 H16 N4096 D128 bfloat16 forward+backward"]),
        (["no such row"], []),
    ],
)  # fmt: skip
def test_every_word_of_a_text_must_stand_in_the_name(only, names):
    """Several texts add up."""
    found = [row.name for row in session.chosen(only)]
    if only[0].startswith("adamw"):
        found = [name for name in found if not name.startswith("compact")]
    assert found == names


def test_the_small_set_is_a_part_of_every_family():
    """And small."""
    quick = {row.name for row in session.chosen(is_quick=True)}
    assert quick < {row.name for row in session.rows()} and len(quick) <= 20
    for family in session.FAMILIES:
        assert quick & {row.name for row in family.rows()}


def test_every_row_is_measured_with_every_number_of_threads(monkeypatch):
    """Afterwards the number is what it was."""
    before, seen = torch.get_num_threads(), []

    def measured(row, seconds, has_compiled):
        seen.append((row.name, torch.get_num_threads(), has_compiled))
        return measure(row, 0.0, has_compiled)

    monkeypatch.setattr(session, "measure", measured)
    rows = [Row(name, work, 0) for name in ("one", "two")]
    results = list(session.run(rows, [2, 1], is_quick=True))
    assert torch.get_num_threads() == before
    wanted = [("one", 2), ("one", 1), ("two", 2), ("two", 1)]
    assert [(r["row"], r["threads"]) for r in results] == wanted
    assert seen == [(*pair, False) for pair in wanted]


def test_the_default_allocator_is_measured_in_a_process_of_its_own(monkeypatch):
    """A real row, by its name; a row that this process does not have fails there."""
    torch.set_num_threads(1)
    small = next(row for row in session.rows() if row.name == "layer_norm 32x192 float32 forward")
    result = one_row.measure_apart(small, 0.0, has_compiled=False)
    assert result["allocator"] == "default" and result["best"] == "torch"
    unknown = one_row.measure_apart(Row("unknown", work, 0), 0.0, has_compiled=False)
    assert unknown["failed"].startswith("CalledProcessError") and unknown["row"] == "unknown"


def test_both_allocators_are_yielded(monkeypatch):
    """The tuned one from here, the default from the other process."""
    apart = []
    monkeypatch.setattr(session, "measure_apart", lambda row, *_: apart.append(row) or {"x": 1})
    row = Row("row", work, 0, allocators=("tuned", "default"))
    first, second = session.run([row], [1], is_quick=True)
    assert first["allocator"] == "tuned" and second == {"x": 1} and apart == [row]
