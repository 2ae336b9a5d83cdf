"""Standard deviations by which one can divide."""

import numpy as np

# Of the largest of all numbers: those that differ by less differ by the rounding of what computed
# them, a few dozen units of the last digit that float64 holds.
ROUNDING = 1e-14


def divisor(values: np.ndarray, std: np.ndarray) -> np.ndarray:
    """The standard deviations, but 1 for what never changes.

    Their range tells it: equal numbers that are no binary fractions have a deviation of rounding
    errors. It is compared with the numbers themselves, since all of them are tiny in a large unit.

    Args:
        values: Shape ``(N, ...)``, N > 0, finite.
        std: Of each column, shape ``(...)``, in the unit of the values.
    Returns:
        Shape ``(...)``, none of them 0.
    """
    low, high = values.min(axis=0), values.max(axis=0)
    is_spread = high - low > ROUNDING * np.maximum(np.abs(low), np.abs(high))
    # Squares of numbers below 1e-162 are 0, and so is their deviation.
    return np.where(is_spread & (std > 0), std, 1.0)
