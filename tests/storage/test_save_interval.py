"""SaveInterval: when it is time to save again."""

from dlplug.storage.save_interval import SaveInterval


class Clock:
    """Tells the time that the test sets."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def spend(self, seconds):
        """Let time pass."""
        self.now += seconds


def test_the_time_counts_from_the_end_of_the_last_save():
    """A save that takes a while puts the next one off."""
    clock = Clock()
    interval = SaveInterval(60, clock)
    clock.spend(59.9)
    assert not interval.is_over()
    clock.spend(0.2)
    assert interval.is_over()
    interval.measure(lambda: clock.spend(0.5))
    clock.spend(59.9)
    assert not interval.is_over()
    clock.spend(0.1)
    assert interval.is_over()


def test_saving_stops_the_training_for_one_percent_of_the_time_at_most():
    """A save of 3 seconds is followed by 300 seconds without; a fast one brings the minute back."""
    clock = Clock()
    interval = SaveInterval(60, clock)
    interval.measure(lambda: clock.spend(3))
    clock.spend(299)
    assert not interval.is_over()
    clock.spend(1)
    assert interval.is_over()
    interval.measure(lambda: clock.spend(0.1))
    clock.spend(60)
    assert interval.is_over()


def test_no_seconds_are_no_saves():
    """However much time passes."""
    clock = Clock()
    interval = SaveInterval(None, clock)
    clock.spend(1e9)
    assert not interval.is_over()
