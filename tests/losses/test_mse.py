"""Mean squared error against its formula."""

import pytest
import torch

from dlplug.errors import ShapeError
from dlplug.losses.mse import MSELoss

OUTPUT = torch.randn(6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TARGET = torch.randn(6, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_it_equals_the_formula_and_its_gradient():
    """Mean of squares; the gradient against finite differences."""
    torch.testing.assert_close(MSELoss()(OUTPUT, TARGET), ((OUTPUT - TARGET) ** 2).mean())
    assert torch.autograd.gradcheck(lambda x: MSELoss()(x, TARGET), OUTPUT.clone().requires_grad_())


def test_half_precision_is_raised_to_float32():
    """A bfloat16 loss equals the float32 loss of the same rounded output."""
    half = OUTPUT.bfloat16()
    loss = MSELoss()(half, TARGET.float())
    assert loss.dtype == torch.float32
    assert torch.equal(loss, MSELoss()(half.float(), TARGET.float()))


def test_shapes_that_would_be_spread_are_refused():
    """(6, 1) against (6,) would compare each record with all others."""
    with pytest.raises(ShapeError, match=r"mse: the output is \(6, 1\), the target \(6,\)"):
        MSELoss()(OUTPUT[:, :1], TARGET[:, 0])
