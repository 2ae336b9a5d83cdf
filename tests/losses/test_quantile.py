"""Quantile loss: its formula, and that its minimum is the quantile."""

import pytest
import torch

from dlplug.errors import InvalidValueError, ShapeError
from dlplug.losses.mae import mae
from dlplug.losses.quantile import QuantileLoss


def test_its_minimum_is_the_quantile():
    """Of 0 ... 99, the best answers to 0.1, 0.5 and 0.9 lie around 9.5, 49.5 and 89.5."""
    target = torch.arange(100.0)[:, None]
    candidates = torch.arange(0.0, 100.0, 0.5)
    for q, expected in ((0.1, 9.5), (0.5, 49.5), (0.9, 89.5)):
        losses = [float(QuantileLoss([q])(torch.full((100, 1), c), target)) for c in candidates]
        assert abs(float(candidates[torch.tensor(losses).argmin()]) - expected) <= 0.5


def test_the_median_is_half_the_absolute_error():
    """For each of two targets."""
    generator = torch.Generator().manual_seed(0)
    output, target = torch.randn(2, 8, 2, generator=generator)
    torch.testing.assert_close(QuantileLoss([0.5])(output, target), mae(output, target) / 2)


def test_targets_come_first_and_their_quantiles_after_each_other():
    """(B, K * Q) is (B, K, Q) flattened, and follows the formula."""
    generator = torch.Generator().manual_seed(0)
    output, target = torch.randn(5, 2, 3, generator=generator), torch.randn(5, 2)
    qs = [0.2, 0.5, 0.7]
    error = target[..., None] - output
    expected = torch.stack([max(q * e, (q - 1) * e) for row in error.view(-1, 3)
                            for q, e in zip(qs, row, strict=True)]).mean()  # fmt: skip
    torch.testing.assert_close(QuantileLoss(qs)(output, target), expected)
    torch.testing.assert_close(QuantileLoss(qs)(output.flatten(1), target), expected)


def test_a_wrong_width_is_refused():
    """Two outputs for one target and three quantiles."""
    with pytest.raises(ShapeError, match="the output must be 3 times as wide as the target"):
        QuantileLoss([0.1, 0.5, 0.9])(torch.zeros(4, 2), torch.zeros(4, 1))


@pytest.mark.parametrize("quantiles", [[], [0.0], [0.5, 0.1], [0.5, 0.5], [1.2]])
def test_impossible_quantiles_are_refused(quantiles):
    """They rise, and lie between 0 and 1."""
    with pytest.raises(InvalidValueError, match="rising order"):
        QuantileLoss(quantiles)
