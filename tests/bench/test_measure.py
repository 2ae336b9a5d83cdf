"""One row: who takes part, who does not and why."""

import pytest
import torch

from dlplug.bench import measure as measuring
from dlplug.bench import memory, verdict
from dlplug.bench.measure import measure
from dlplug.bench.row import Contender, LeftOut, Limit, Missing, Peer, Row, Work

X = torch.arange(4.0)


def contender(value=X):
    return Contender(lambda: value + 0, lambda: [value])


def raises(failure):
    def build():
        raise failure

    return Peer(build)


def measured(peers=None, ours=None, need=0, **fields):
    def build():
        return Work(
            ours=contender() if ours is None else ours,
            peers={"peer": Peer(contender)} if peers is None else peers,
            reference=lambda: [X.double()],
            tolerance=1e-6,
            **{"backend": "cpu"} | fields,
        )

    return measure(Row("row", build, need), 0.0)


@pytest.mark.parametrize(
    ("peer", "told"),
    [
        (raises(Missing("no module x")), {"missing": "no module x"}),
        (raises(LeftOut("too large")), {"left out": "too large"}),
        (raises(RuntimeError("no compiler\nmore")), {"failed": "RuntimeError: no compiler"}),
        (raises(KeyError()), {"failed": "KeyError"}),
        (Peer(lambda: contender(X + 1)), {"failed": "its error is 3.3e-01"}),
        (Peer(lambda: contender(X[:2])), {"failed": "its error is inf"}),
        (Peer(lambda: contender(X * torch.nan)), {"failed": "its error is inf"}),
    ],
)
def test_a_peer_that_cannot_be_compared_is_told_with_its_reason(peer, told):
    """And the others are timed."""
    (result,) = measured({"bad": peer, "good": Peer(contender)})
    assert result["peers"]["bad"] == told
    assert result["best"] == "good" and result["peers"]["good"]["ratio"] > 0
    ((word, reason),) = told.items()
    assert f"bad {word}: {reason}" in verdict.peer_texts(result)


def test_a_peer_that_fails_when_it_runs_is_told(monkeypatch):
    """Not only one that cannot be built."""

    def fail():
        raise OSError("disk")

    (result,) = measured({"bad": Peer(lambda: Contender(fail, fail))})
    assert result["peers"]["bad"] == {"failed": "OSError: disk"}
    assert verdict.verdict(result) == "alone, bad failed: OSError: disk"
    assert "0 routed to PyTorch, 1 without a peer" in verdict.summary([result])


def test_a_peer_that_takes_too_long_is_left_out(monkeypatch):
    """After one call, with its time; of a compiled one the second call counts."""
    monkeypatch.setattr(measuring, "SLOWEST_FIRST_CALL", 0.0)
    monkeypatch.setattr(measuring, "SLOWEST_CALL", 0.0)
    (result,) = measured({"peer": Peer(contender), "compiled": Peer(contender, True)})
    assert result["peers"]["peer"] == {"left out": "its first call takes 0.0 s"}
    assert result["peers"]["compiled"] == {"left out": "a call takes 0.0 s"}


def test_the_best_peer_is_the_fastest_one_that_is_right():
    """However fast a wrong one is."""
    slow = Peer(lambda: Contender(lambda: [X + i for i in range(99)], lambda: [X]))
    wrong = Peer(lambda: Contender(lambda: None, lambda: [X + 1]))
    (result,) = measured({"slow": slow, "fast": Peer(contender), "wrong": wrong})
    assert result["best"] == "fast"
    assert result["peers"]["slow"]["ratio"] > result["peers"]["fast"]["ratio"]


def test_an_error_of_our_own_fails_the_row():
    """Whatever the times are."""
    (result,) = measured(ours=contender(X + 1))
    assert verdict.outcome(result) == "failed"
    assert verdict.verdict(result) == "failed, dlplug's own error is 3.3e-01"


def test_a_row_that_cannot_be_built_is_told():
    """With the exception."""
    row = Row("row", lambda: 1 / 0, 0)
    (result,) = measure(row, 0.0)
    assert result["failed"] == "ZeroDivisionError: division by zero"
    assert verdict.outcome(result) == "failed"


def test_too_little_memory_skips_the_row(monkeypatch):
    """Before anything is built, with the sizes."""
    monkeypatch.setattr(memory, "available", lambda: 10**9)
    (result,) = measure(Row("row", lambda: 1 / 0, 2 * 10**9), 0.0)
    assert result["skipped"] == "needs 2.0 GB of memory, 1.0 are free"
    assert verdict.outcome(result) == "skipped"


def test_the_share_of_the_fastest_limit_is_told():
    """Less than one where the limit is less work than the row."""
    slow, fast = (lambda: [X + i for i in range(99)]), (lambda: None)
    (result,) = measured(limit=Limit({"slow": slow, "fast": fast}, 1.0))
    assert result["limit_of"] == "fast" and 0 < result["limit"] < 1
    (double,) = measured(limit=Limit({"slow": slow}, 1000.0))
    assert double["limit"] > 1000


@pytest.mark.parametrize("backend", ["torch", "reference"])
def test_routed_rows_are_counted_apart(backend):
    """They are neither won nor lost."""
    (result,) = measured(backend=backend)
    assert result["is_routed"] and verdict.outcome(result) == "routed"
    assert "0 slower than the best peer, 1 routed" in verdict.summary([result])


def test_both_settings_of_the_allocator_are_measured():
    """Where a row asks for them."""
    row = Row("row", lambda: work(), 0, allocators=("tuned", "default"))
    results = measure(row, 0.0)
    assert [result["allocator"] for result in results] == ["tuned", "default"]
    assert all(result["best"] == "peer" for result in results)


def work():
    return Work(contender(), {"peer": Peer(contender)}, lambda: [X.double()], 1e-6, "cpu")
