"""Kills within a save, the quick set."""

from tests.chaos import kills_in_save


def test_a_kill_within_a_save_tears_nothing(tmp_path):
    """Ten kills that left a temporary file, half of them of saves in the background."""
    outcome = kills_in_save.inject(10, tmp_path)
    assert outcome.injected == outcome.contained == 10
