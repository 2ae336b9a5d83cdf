"""LossHistory: which losses are bad, and when they make a spike."""

from dlplug.callbacks.rollback.loss_history import LossHistory


def test_a_lucky_batch_does_not_hide_a_spike():
    """Bad losses of the last few count; single ones far apart do not."""
    history = LossHistory(window=10, threshold=6.0, patience=2)
    for loss in (*[2.0] * 10, 50.0, 2.0, 2.0, 2.0, 2.0, 50.0):
        history.add(loss)
    assert not history.is_spike
    for loss in (2.0, 60.0):
        history.add(loss)
    assert history.is_spike and history.length == 3


def test_a_spike_does_not_raise_its_own_threshold():
    """Nor does a ripple make a spike, nor a loss below 0; what is not finite says nothing."""
    history = LossHistory(window=10, threshold=6.0, patience=3)
    for loss in (2.0, 1.9, 2.1, 2.0, 1.8, 2.2, 2.0):
        history.add(loss)
    for _ in range(20):
        history.add(50.0)
        history.add(float("nan"))
    assert history.is_spike and history.is_bad(3.0) and not history.is_bad(2.5)
    history.add(2.0)
    assert not history.is_spike  # the newest is good
    negative = LossHistory(window=4, threshold=6.0, patience=3)
    for _ in range(4):
        negative.add(-5.0)
    assert negative.is_bad(-3.0) and not negative.is_bad(-4.9) and not negative.is_bad(-9.0)
