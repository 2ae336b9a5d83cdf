"""A failing disk, the quick set."""

from tests.chaos import failing_disk


def test_whichever_call_fails_there_is_a_loadable_checkpoint(tmp_path):
    """Every call of a save fails once, in each way of saving."""
    calls = failing_disk.calls_of_a_save(tmp_path / "counted first")
    assert calls > 25  # four files are opened, written, synchronised and renamed
    count = calls * len(failing_disk.SAVERS)
    outcome = failing_disk.inject(count, tmp_path)
    assert outcome.injected == outcome.contained == count
