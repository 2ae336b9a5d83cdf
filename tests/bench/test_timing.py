"""Rounds: who is called how often, and what is put back before."""

from dlplug.bench.timing import medians


def test_everybody_takes_part_in_every_round():
    """At least as many rounds as asked for, however little time there is."""
    calls = []
    contenders = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    found = medians(contenders, seconds=0, rounds=5)
    assert found.keys() == {"a", "b"} and min(found.values()) > 0
    assert min(calls.count(name) for name in "ab") >= 3 + 5


def test_what_a_call_needs_is_put_back_before_each():
    """It is made anew even within a turn, and for its contender alone."""
    state, calls = [], []

    def use():
        calls.append(state.pop())

    contenders = {"uses": use, "other": lambda: None}
    medians(contenders, seconds=0, rounds=3, before={"uses": lambda: state.append(1)})
    assert len(calls) >= 3 + 3 and state == []


def test_the_time_of_putting_back_does_not_count(monkeypatch):
    """Seen on a clock that moves by itself."""
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def spend(seconds):
        now[0] += seconds

    contenders = {"a": lambda: spend(2.0), "b": lambda: spend(3.0)}
    found = medians(contenders, seconds=0, rounds=3, before={"a": lambda: spend(50.0)})
    assert found == {"a": 2.0, "b": 3.0}
