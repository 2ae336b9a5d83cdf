"""cutmix: a box of the partner, counted by its pixels."""

import pytest
import torch

from dlplug.errors import InvalidValueError
from dlplug.transforms.cutmix import CutMix


def test_the_share_is_that_of_the_pixels():
    """Images of one value each: every pixel is the image's or the partner's, as the share says."""
    for seed in range(20):
        torch.manual_seed(seed)
        labels = torch.arange(6)
        images = labels.float().view(6, 1, 1, 1).expand(-1, 2, 8, 10)
        mixture, mixed = CutMix()(images, labels)
        own = mixture == mixed.first.view(6, 1, 1, 1)
        other = mixture == mixed.second.view(6, 1, 1, 1)
        assert bool((own | other).all())
        differs = mixed.first != mixed.second
        expected = torch.full((int(differs.sum()),), mixed.share)
        torch.testing.assert_close(own[differs].float().mean(dim=(1, 2, 3)), expected)


def test_masks_get_the_partners_box():
    """A mask is not mixed: each pixel has the class of the image that it shows."""
    torch.manual_seed(1)
    images = torch.rand(5, 1, 8, 8)
    mixture, masks = CutMix()(images, images[:, 0])
    assert torch.equal(mixture[:, 0], masks) and not torch.equal(mixture, images)


def test_a_batch_may_be_left_alone():
    """With probability 0 nothing is mixed."""
    inputs, targets = torch.rand(4, 3, 2, 2), torch.zeros(4)
    assert CutMix(probability=0.0)(inputs, targets) == (inputs, targets)


def test_values_out_of_range_are_refused():
    """The message names the transform."""
    with pytest.raises(InvalidValueError, match="cutmix: alpha = -1"):
        CutMix(alpha=-1)


@pytest.mark.parametrize("inputs", [torch.rand(4, 6), {"x": torch.rand(4, 1, 8, 8)}])
def test_what_is_no_image_is_refused(inputs):
    """Rows and mappings, whatever is drawn."""
    with pytest.raises(InvalidValueError, match="cutmix: the inputs are no images"):
        CutMix(probability=0.0)(inputs, torch.zeros(4))


def test_targets_of_positions_are_refused():
    """As mixup does."""
    labels = torch.ones(4, 6, dtype=torch.int64)
    with pytest.raises(InvalidValueError, match=r"cutmix: targets \(4, 6\) of each position"):
        CutMix(probability=0.0)(torch.rand(4, 1, 8, 8), labels)
