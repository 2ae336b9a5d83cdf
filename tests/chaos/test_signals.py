"""SIGTERM and Ctrl-C, the quick set."""

import pytest

from tests.chaos import signals


@pytest.mark.slow
def test_a_training_that_is_told_to_end_saves_and_goes_on_exactly(tmp_path):
    """Both signals in a step, in the last validation, in a save and in the wait for data."""
    outcome = signals.inject(8, tmp_path)
    assert outcome.injected == outcome.contained == 8
