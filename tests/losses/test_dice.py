"""Soft Dice: the paper's quotient, and the pixels that do not count."""

import pytest
import torch

from dlplug.errors import InvalidValueError
from dlplug.losses.dice import DiceLoss, dice


def by_hand(scores, target, smooth):
    """Loop over classes and pixels."""
    p = scores.double().softmax(1)
    losses = []
    for c in range(scores.shape[1]):
        overlap = predicted = true = 0.0
        for b, y, x in (target != -100).nonzero().tolist():
            g = float(target[b, y, x] == c)
            overlap += float(p[b, c, y, x]) * g
            predicted += float(p[b, c, y, x]) ** 2
            true += g
        losses.append(1 - (2 * overlap + smooth) / (predicted + true + smooth))
    return losses


def test_it_is_the_papers_quotient():
    """Over several classes, with ignored pixels, with and without the background."""
    torch.manual_seed(0)
    scores, target = torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))
    target[0, :2] = -100
    expected = by_hand(scores, target, 0.5)
    assert float(dice(scores, target, 0.5)) == pytest.approx(sum(expected) / 3, rel=1e-5)
    found = dice(scores, target, 0.5, skip_background=True)
    assert float(found) == pytest.approx(sum(expected[1:]) / 2, rel=1e-5)


def test_ignored_pixels_have_no_gradient():
    """-100 says nothing about the scores there; elsewhere there is a gradient."""
    scores = torch.randn(1, 2, 2, 2, requires_grad=True)
    DiceLoss()(scores, torch.tensor([[[0, 1], [1, -100]]])).backward()
    assert not scores.grad[..., 1, 1].any() and scores.grad[..., 0, 0].all()


def test_perfect_and_opposite_masks_are_the_ends():
    """0 for the right classes, near 1 for the wrong ones; records without pixels too."""
    target = torch.tensor([0, 1] * 50)
    scores = 100.0 * torch.nn.functional.one_hot(target, 2)
    assert float(dice(scores, target)) == 0
    assert float(dice(-scores, target)) > 0.98


def test_an_absent_class_has_no_loss():
    """Neither predicted nor true: the quotient is 1, not 0 / 0."""
    scores = torch.tensor([[50.0, 0.0, -50.0]]).expand(10, 3)
    assert float(dice(scores, torch.zeros(10, dtype=torch.int64))) == pytest.approx(0, abs=1e-6)


def test_half_precision_is_raised():
    """bfloat16 scores give a float32 loss, float64 ones a float64 loss."""
    target = torch.zeros(2, dtype=torch.int64)
    assert dice(torch.zeros(2, 2, dtype=torch.bfloat16), target).dtype == torch.float32
    assert dice(torch.zeros(2, 2, dtype=torch.float64), target).dtype == torch.float64


def test_smooth_must_be_above_0():
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match=r"loss dice: smooth = 0\.0"):
        DiceLoss(smooth=0.0)
