"""Damaged checkpoints, the quick set."""

from tests.chaos import corrupt_checkpoints


def test_every_corruption_is_found_before_unpickling(tmp_path):
    """200 of 200: flipped bits, cut and grown files, blocks of zeros."""
    outcome = corrupt_checkpoints.inject(200, tmp_path)
    assert outcome.injected == outcome.contained == 200
