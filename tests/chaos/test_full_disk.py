"""A full disk, the quick set."""

import pytest

from tests.chaos import full_disk


def test_a_full_disk_leaves_the_checkpoint_that_was_there(tmp_path):
    """The message names the bytes that it takes and that are free, in each way of saving."""
    try:
        outcome = full_disk.inject(12, tmp_path)
    except PermissionError as error:
        pytest.skip(str(error))
    assert outcome.injected == outcome.contained == 12
