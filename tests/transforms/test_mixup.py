"""mixup: mixtures of pairs, and both targets."""

import pytest
import torch

from dlplug.errors import InvalidValueError
from dlplug.transforms.mixed import Mixed
from dlplug.transforms.mixup import Mixup, draw_share


def test_inputs_and_targets_are_mixed_alike():
    """With inputs equal to their targets, the mixture is that of the targets."""
    torch.manual_seed(0)
    targets = torch.arange(8.0)
    mixture, mixed = Mixup(1.0)(targets.view(8, 1, 1, 1), targets)
    assert isinstance(mixed, Mixed) and torch.equal(mixed.first, targets)
    assert sorted(mixed.second.tolist()) == targets.tolist() and 0 < mixed.share < 1
    expected = mixed.share * mixed.first + (1 - mixed.share) * mixed.second
    torch.testing.assert_close(mixture.flatten(), expected)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_are_beta_distributed(alpha):
    """Mean 1/2 and variance 1 / (4 (2 alpha + 1)), within four standard errors."""
    torch.manual_seed(0)
    shares = torch.tensor([draw_share(alpha) for _ in range(2000)])
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(float(shares.mean()) - 0.5) < 4 * (variance / 2000) ** 0.5
    assert float(shares.var()) == pytest.approx(variance, rel=0.13)
    # A tiny alpha takes one of the two, and never divides 0 by 0.
    assert all(0 <= draw_share(1e-3) <= 1 for _ in range(200))


def test_a_batch_may_be_left_alone():
    """With probability 0 nothing is mixed."""
    inputs, targets = torch.rand(4, 3), torch.zeros(4)
    assert Mixup(probability=0.0)(inputs, targets) == (inputs, targets)


@pytest.mark.parametrize("arguments", [{"alpha": 0.0}, {"probability": 1.5}])
def test_values_out_of_range_are_refused(arguments):
    """The message names the transform and both values."""
    with pytest.raises(InvalidValueError, match=r"mixup: alpha = .*, probability = "):
        Mixup(**arguments)
