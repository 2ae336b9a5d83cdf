"""Choosing rows."""

from collections import Counter
from functools import partial

import pytest
import torch
from torch.overrides import _get_current_function_mode_stack

from dlplug.bench import device, one_row, session, timing
from dlplug.bench.measure import measure
from dlplug.bench.row import Contender, Limit, Peer, Row, Work
from tests.bench.test_measure import work


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_names_are_unique(device):
    """A record holds rows by name."""
    counts = Counter(row.name for row in session.rows(device))
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


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_small_set_is_a_part_of_every_family(device):
    """And small."""
    quick = {row.name for row in session.chosen(is_quick=True, device=device)}
    assert quick < {row.name for row in session.rows(device)} and len(quick) <= 30
    for family in session.FAMILIES:
        assert quick & {row.name for row in family.rows(device)}


def test_what_a_record_has_is_left_out():
    """With every number of threads and allocator, on the same device, unless it failed."""
    both = ("tuned", "default")
    rows = [Row("one", work, 0), Row("two", work, 0), Row("three", work, 0, allocators=both)]
    done = [("one", 2, "cpu"), ("one", 1, "cpu"), ("two", 2, "cpu"), ("three", 2, "cpu")]
    kept = {"allocator": "tuned", "skipped": "for want of memory"}
    results = [{"row": r, "threads": t, "device": d} | kept for r, t, d in done]
    results.append(kept | {"row": "three", "threads": 2, "device": "cuda", "allocator": "default"})
    assert [row.name for row in session.left(rows, [2, 1], "cpu", results)] == ["two", "three"]
    assert [row.name for row in session.left(rows, [2], "cpu", results)] == ["three"]
    assert [row.name for row in session.left(rows, [2], "cuda", results)] == ["one", "two"]
    for failed in ({"failed": "no compiler"}, {"is_exact": False}):
        again = [{**results[0], **failed}, *results[1:]]
        del again[0]["skipped"]
        assert [row.name for row in session.left(rows, [2], "cpu", again)] == ["one", "three"]


def test_rows_are_built_on_the_device_and_timed_without_a_default():
    """Tensors that name no device land there, but not those that an optimizer makes in a step."""
    made = []

    def note(what, value=None):
        made.append((what, torch.zeros(1).device.type, bool(_get_current_function_mode_stack())))
        return value

    def contender():
        values = [torch.ones(1, device="cpu")]
        timed = partial(note, "timed")
        return Contender(timed, partial(note, "timed", values), timed)

    def built():
        peer = Peer(lambda: note("built", contender()))
        limit = Limit({"limit": partial(note, "timed")}, 1.0)
        ones = [torch.ones(1, device="cpu", dtype=torch.float64)]
        parts = (note("built", contender()), {"peer": peer}, lambda: note("built", ones))
        return Work(*parts, 1e-6, "cpu", limit, has_memory=True)

    for place in ("meta", "cpu"):
        made.clear()
        (result,) = session.run([Row("row", built, 0)], [1], is_quick=True, device=place)
        assert result["device"] == place and result["best"] == "peer"
        is_mode = place == "meta"
        assert set(made) == {("built", place, is_mode), ("timed", "cpu", False)}
        assert not _get_current_function_mode_stack()


def test_a_gpu_is_waited_for_in_every_turn(monkeypatch):
    """At its beginning and its end, or the time would be that of the launches."""
    calls = []
    monkeypatch.setattr(device.torch.cuda, "synchronize", lambda: calls.append("wait"))
    with device.measuring_on("cuda"):
        timing._clock(lambda: calls.append("call"), None)(2)
        assert calls == ["wait", "call", "call", "wait"]
        calls.clear()
        timing._clock(lambda: calls.append("call"), lambda: calls.append("before"))(1)
        assert calls == ["before", "wait", "call", "wait"]


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
