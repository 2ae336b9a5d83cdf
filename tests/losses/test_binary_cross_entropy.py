"""Binary cross-entropy against its formula."""

import pytest
import torch

from dlplug.errors import InvalidValueError, ShapeError
from dlplug.losses.binary_cross_entropy import BinaryCrossEntropyLoss

SCORES = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TARGET = (torch.arange(18).view(6, 3) % 3 == 0).float()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weight", [None, 3.0, [1.0, 2.0, 0.5]])
def test_it_equals_the_formula(smoothing, weight):
    """-(w q log p + (1 - q) log(1 - p)), averaged over records and labels."""
    q = (1 - smoothing) * TARGET.double() + smoothing / 2
    w = torch.tensor(1.0 if weight is None else weight).double()
    p = SCORES.sigmoid()
    expected = -(w * q * p.log() + (1 - q) * (1 - p).log()).mean()
    torch.testing.assert_close(BinaryCrossEntropyLoss(smoothing, weight)(SCORES, TARGET), expected)


def test_other_shapes_are_refused():
    """Scores of three labels against classes."""
    with pytest.raises(ShapeError, match="binary_cross_entropy"):
        BinaryCrossEntropyLoss()(SCORES, TARGET[:, 0])


@pytest.mark.parametrize("bad", [{"label_smoothing": 1.0}, {"pos_weight": 0.0}, {"pos_weight": []}])
def test_values_out_of_range_are_refused(bad):
    """The message names the parameter."""
    with pytest.raises(InvalidValueError, match=next(iter(bad))):
        BinaryCrossEntropyLoss(**bad)


@pytest.mark.parametrize("target", [-1.5, 1.001, float("nan")])
def test_targets_that_are_no_shares_are_refused(target):
    """Labels and shares are not; the loss of other numbers has no lower bound."""
    loss = BinaryCrossEntropyLoss()
    loss.check_target(torch.tensor([[0.0, 1.0, 0.25]]))
    with pytest.raises(InvalidValueError, match=rf"a target is {target:g}, which is not in"):
        loss.check_target(torch.tensor([[0.0, 1.0, target]]))
