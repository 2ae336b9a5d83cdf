"""The quick set of `killed_workers`: each moment once."""

from tests.chaos.killed_workers import MOMENTS, inject


def test_killed_workers_change_nothing(tmp_path):
    """At every moment: named, restarted, and the same end of the training."""
    outcome = inject(len(MOMENTS), tmp_path)
    assert outcome.injected == outcome.contained == len(MOMENTS), outcome
