"""Every spike of the loss is undone, and costs the run nothing but the steps since a checkpoint."""

from tests.chaos.loss_spikes import NEAR, inject

COUNT = 3


def test_spikes_are_undone(tmp_path):
    """Without the callback the same spikes are seen in the result."""
    outcome = inject(COUNT, tmp_path)
    measured = outcome.measured
    assert outcome.injected == outcome.contained == COUNT, measured
    undisturbed = measured["val_loss undisturbed"]
    assert measured["val_loss without rollback"] > undisturbed + 2 * NEAR, measured
    assert measured["val_loss with rollback"] < undisturbed + NEAR, measured
    assert LEAST_LOST <= measured["lost steps per spike"] <= MOST_LOST, measured


# From the step before the spike to the one in which its last loss is read; a checkpoint each 5.
LEAST_LOST, MOST_LOST = 4, 8
