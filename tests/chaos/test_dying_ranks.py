"""kill -9 of one of two processes, the quick set."""

import pytest

from tests.chaos import dying_ranks


@pytest.mark.slow
def test_a_training_whose_process_died_goes_on_exactly(tmp_path):
    """The second process; torchrun starts both again."""
    outcome = dying_ranks.inject(1, tmp_path)
    assert outcome.injected == outcome.contained == 1, (
        tmp_path / "killed-0/output.txt"
    ).read_text()
