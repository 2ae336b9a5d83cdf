"""One of two processes hangs, the quick set."""

import pytest

from tests.chaos import hanging_ranks


@pytest.mark.slow
def test_a_process_that_hangs_is_named_and_ended(tmp_path):
    """The second one is stopped as a whole; the first one kills it and ends."""
    outcome = hanging_ranks.inject(1, tmp_path)
    output = (tmp_path / "hanging-0/output.txt").read_text()
    assert outcome.injected == outcome.contained == 1, output
