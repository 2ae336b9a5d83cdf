"""Focal loss against its formula, and against cross-entropy where they meet."""

import pytest
import torch

from dlplug.errors import InvalidValueError, ShapeError
from dlplug.losses.cross_entropy import cross_entropy
from dlplug.losses.focal import FocalLoss, focal
from dlplug.nn.absent import IGNORED

SCORES = torch.randn(16, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TARGET = torch.arange(16) % 5


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("alpha", [None, [1.0, 2.0, 0.5, 0.0, 3.0]])
def test_it_equals_the_formula(gamma, alpha):
    """-alpha_t (1 - p_t)^gamma log p_t, averaged over the records."""
    p = SCORES.softmax(-1)[torch.arange(16), TARGET]
    weight = torch.ones(16) if alpha is None else torch.tensor(alpha)[TARGET]
    expected = (-weight * (1 - p) ** gamma * p.log()).mean()
    torch.testing.assert_close(FocalLoss(gamma, alpha)(SCORES, TARGET), expected)


def test_without_focus_it_is_the_cross_entropy():
    """gamma 0 and no alpha."""
    torch.testing.assert_close(focal(SCORES, TARGET, gamma=0.0), cross_entropy(SCORES, TARGET))


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_a_record_that_is_surely_right_has_a_finite_gradient(gamma):
    """p = 1 to the last bit: (1 - p)^(gamma - 1) would be infinite."""
    scores = torch.tensor([[100.0, 0.0]], requires_grad=True)
    focal(scores, torch.tensor([0]), gamma).backward()
    assert torch.isfinite(scores.grad).all()


def test_its_gradient_is_right():
    """Compared with finite differences."""
    scores = SCORES.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda s: focal(s, TARGET, 1.5), scores)


def test_half_precision_is_raised_to_float32():
    """A bfloat16 loss equals the float32 loss of the same rounded scores."""
    scores = SCORES.bfloat16()
    assert torch.equal(focal(scores, TARGET), focal(scores.float(), TARGET))


def test_a_negative_gamma_is_refused():
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match="gamma = -1"):
        FocalLoss(gamma=-1)


def test_pixels_and_ignored_targets():
    """(B, C, H, W) is one record for each pixel, and -100 takes no part."""
    torch.manual_seed(0)
    scores, target = torch.randn(2, 9, 3, 4), torch.randint(0, 9, (2, 3, 4))
    target[1, 0] = -100
    rows, flat = scores.movedim(1, -1).reshape(-1, 9), target.flatten()
    kept = flat != -100
    torch.testing.assert_close(focal(scores, target), focal(rows[kept], flat[kept]))
    weights = torch.rand(9)
    expected = focal(rows[kept], flat[kept], alpha=weights)
    torch.testing.assert_close(focal(scores, target, alpha=weights), expected)


def test_a_batch_without_any_class_has_no_loss():
    """0 and a gradient of 0, not NaN, which would end the training."""
    scores = SCORES.clone().requires_grad_()
    loss = focal(scores, torch.full_like(TARGET, IGNORED))
    loss.backward()
    assert float(loss.detach()) == 0 and not scores.grad.any()


def test_weights_of_other_classes_are_refused():
    """More weights than classes would be looked up and partly ignored."""
    with pytest.raises(ShapeError, match="alpha has 6 weights for 5 classes"):
        FocalLoss(alpha=[1.0] * 6)(SCORES, TARGET)
