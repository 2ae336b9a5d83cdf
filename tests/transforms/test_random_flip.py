"""random_flip: whole images, as often as asked, with their masks."""

import pytest
import torch

from dlplug.errors import InvalidValueError
from dlplug.transforms.random_flip import RandomFlip


def test_the_share_of_mirrored_images_is_the_probability():
    """Each is mirrored whole or not at all; three standard deviations of 4,000 draws."""
    torch.manual_seed(0)
    image = torch.arange(6.0).view(1, 1, 2, 3)
    moved, _ = RandomFlip(0.25)(image.expand(4000, -1, -1, -1), torch.zeros(4000))
    mirrored = (moved == image.flip(-1)).flatten(1).all(1)
    assert bool((mirrored | (moved == image).flatten(1).all(1)).all())
    assert abs(float(mirrored.float().mean()) - 0.25) < 0.021


def test_masks_are_mirrored_with_their_images():
    """Along both axes."""
    images = torch.rand(50, 1, 4, 5)
    moved, masks = RandomFlip(0.5, 0.5)(images, images[:, 0])
    assert torch.equal(moved[:, 0], masks) and not torch.equal(moved, images)


def test_certainty_and_never():
    """1 mirrors all along its axis; 0 draws nothing."""
    images, labels = torch.rand(3, 2, 4, 5), torch.zeros(3)
    assert torch.equal(RandomFlip(0.0, 1.0)(images, labels)[0], images.flip(-2))
    assert RandomFlip(0.0)(images, labels)[0] is images


def test_a_probability_out_of_range_is_refused():
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match=r"horizontal = 1\.5"):
        RandomFlip(1.5)
