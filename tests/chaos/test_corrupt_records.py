"""The quick set of `corrupt_records`: each kind of damage once."""

from tests.chaos.corrupt_records import DAMAGES, inject


def test_damaged_files_are_named_and_set_aside(tmp_path):
    """As the policy says, and the training is the same however it is read or interrupted."""
    outcome = inject(len(DAMAGES), tmp_path)
    assert outcome.injected == outcome.contained == len(DAMAGES), outcome
