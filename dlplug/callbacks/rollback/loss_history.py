"""What a training's loss usually is, and when it has left that for good."""

import math
from collections import deque
from statistics import median
from typing import Any

# Times the median absolute deviation, this is the standard deviation of normal numbers.
NORMAL = 1.4826
# A loss that hardly varies would make a spike of every ripple; this share of it counts as usual.
LEAST = 0.05


class LossHistory:
    """The good losses of the last steps, and which of the very last ones were bad.

    A loss is bad when it is more than ``threshold`` deviations above the median of the good ones.
    Median and median absolute deviation, because a mean would follow the spike, and the standard
    deviation with it, until nothing is a spike. Not on a logarithmic scale, because losses such as
    likelihoods can be negative. Bad losses are not learned from.

    It is a spike when ``patience`` of the last ``2 * patience`` losses are bad, the newest among
    them. One hard batch is none; and a lucky batch in the middle, which a network with huge outputs
    can get entirely right, does not hide one.

    Args:
        window: Good losses that are kept.
        threshold: Deviations above which a loss is bad.
        patience: Bad losses that make a spike.
    """

    def __init__(self, window: int, threshold: float, patience: int):
        self.threshold = threshold
        self.patience = patience
        self.good: deque[float] = deque(maxlen=window)
        self.are_bad: deque[bool] = deque(maxlen=2 * patience)

    def add(self, loss: float) -> None:
        """Take a step's loss in; one that is not finite says nothing (see `FiniteSteps`)."""
        if not math.isfinite(loss):
            return
        is_bad = self.is_bad(loss)
        self.are_bad.append(is_bad)
        if not is_bad:
            self.good.append(loss)

    @property
    def is_spike(self) -> bool:
        """Whether so many of the last losses are bad."""
        return sum(self.are_bad) >= self.patience and self.are_bad[-1]

    @property
    def length(self) -> int:
        """Losses since the first bad one, that one included."""
        return len(self.are_bad) - self.are_bad.index(True)

    def is_bad(self, loss: float) -> bool:
        """Whether a loss is far above the usual; never before half of the window is there."""
        if len(self.good) < (self.good.maxlen + 1) // 2:
            return False
        usual = median(self.good)
        deviation = NORMAL * median(abs(value - usual) for value in self.good)
        return loss > usual + self.threshold * max(deviation, LEAST * abs(usual))

    def to_plain(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"good": list(self.good), "are_bad": list(self.are_bad)}

    def take(self, plain: dict[str, Any]) -> None:
        """Become what `to_plain` gave."""
        self.good = deque(plain["good"], self.good.maxlen)
        self.are_bad = deque(plain["are_bad"], self.are_bad.maxlen)
