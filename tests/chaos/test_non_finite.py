"""What is not finite never reaches a weight, wherever it comes from."""

from dlplug.callbacks.finite_steps import FiniteSteps
from tests.chaos.non_finite import LIMIT, inject

COUNT = 8  # each place with each value


def test_every_fault_leaves_the_state_as_it_was(tmp_path):
    """And too many in a row end the run with the last good state."""
    outcome = inject(COUNT, tmp_path)
    assert outcome.injected == outcome.contained == COUNT, outcome.measured


def test_the_faults_do_harm_where_nothing_stops_them(tmp_path, monkeypatch):
    """Without the check the same faults are not contained."""
    monkeypatch.setattr(FiniteSteps, "on_before_optimizer_step", lambda *arguments: None)
    monkeypatch.setattr(FiniteSteps, "on_train_epoch_end", lambda *arguments: None)
    outcome = inject(COUNT, tmp_path)
    assert outcome.injected >= COUNT and outcome.contained == 0
    assert outcome.measured["runs with weights that are not finite"] == 1


def test_the_limit_is_the_one_of_the_callback():
    """Of which every run has one."""
    assert FiniteSteps().limit == LIMIT
