"""MONAI's losses on dlplug's masks."""

import pytest
import torch
from dlplug_monai.losses import MonaiDice, MonaiDiceCE, MonaiTversky
from torch.nn import functional

from dlplug.losses.dice import dice

LOSSES = [MonaiDice, MonaiDiceCE, MonaiTversky]


@pytest.fixture
def batch():
    """Scores (2, 4, 5, 6) in float64 and masks (2, 5, 6) with pixels of no class."""
    torch.manual_seed(0)
    scores = torch.randn(2, 4, 5, 6, dtype=torch.float64, requires_grad=True)
    masks = torch.randint(0, 4, (2, 5, 6))
    masks[:, 0] = -100
    return scores, masks


def test_dice_is_dlplugs_own_where_both_say_the_same(batch):
    """Squared sizes over the batch, the same smoothing above and below."""
    ours = MonaiDice(squared_pred=True, batch=True, smooth_nr=1.0, smooth_dr=1.0)
    torch.testing.assert_close(ours(*batch), dice(*batch))


@pytest.mark.parametrize("alpha", [0.5, 0.3])
def test_tversky_is_the_formula(batch, alpha):
    """1 - (TP + s) / (TP + alpha FP + beta FN + s), by image and class, then the mean."""
    scores, masks = batch
    known = (masks != -100)[:, None]
    p = scores.softmax(1) * known
    g = functional.one_hot(masks.clamp(min=0), 4).movedim(-1, 1) * known
    hit = (p * g).sum((2, 3))
    wrong, missed = (p * (1 - g)).sum((2, 3)), ((1 - p) * g).sum((2, 3))
    expected = 1 - (hit + 1) / (hit + alpha * wrong + 0.7 * missed + 1)
    found = MonaiTversky(alpha=alpha, beta=0.7, smooth_nr=1.0, smooth_dr=1.0)(*batch)
    torch.testing.assert_close(found, expected.mean())


def test_dice_ce_is_the_weighted_sum(batch):
    """Each with its weight; the cross-entropy is PyTorch's."""
    found = MonaiDiceCE(lambda_dice=0.5, lambda_ce=2.0)(*batch)
    expected = 0.5 * MonaiDice()(*batch) + 2.0 * functional.cross_entropy(*batch)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_pixels_without_a_class_take_no_part(loss, batch):
    """Neither in the value nor in the gradient."""
    scores, masks = batch
    value = loss()(scores, masks)
    (gradient,) = torch.autograd.grad(value, scores)
    assert not gradient[:, :, 0].any() and gradient[:, :, 1:].abs().sum() > 0
    changed = scores.detach().clone()
    changed[:, :, 0] += torch.tensor([3.0, -2.0, 1.0, 5.0]).view(4, 1)
    torch.testing.assert_close(loss()(changed, masks), value.detach())


def test_classes_have_weights():
    """A list in a config; a class of weight 0 does not count."""
    scores, masks = torch.randn(2, 3, 4, 4), torch.randint(0, 2, (2, 4, 4))
    masks[0, 0, 0] = 2
    weighted = MonaiDiceCE(weight=[1.0, 1.0, 0.0], lambda_dice=0.0)
    expected = functional.cross_entropy(scores, masks, weight=torch.tensor([1.0, 1.0, 0.0]))
    torch.testing.assert_close(weighted(scores, masks), expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_half_precision_is_raised_first(loss, batch):
    """As automatic mixed precision gives it; the value is float32."""
    scores, masks = batch
    halved = scores.detach().bfloat16()
    torch.testing.assert_close(loss()(halved, masks), loss()(halved.float(), masks))


def test_the_background_can_be_left_out(batch):
    """Class 0 has no gradient through the Dice loss but by the softmax: its own term is gone."""
    scores, masks = batch
    without = MonaiDice(include_background=False)(scores, masks)
    each = [MonaiDice(weight=[float(c == i) for c in range(4)])(scores, masks) for i in range(4)]
    torch.testing.assert_close(MonaiDice()(scores, masks), sum(each), check_dtype=False)
    torch.testing.assert_close(without, sum(each[1:]) * 4 / 3, check_dtype=False)
