"""lighting: steps along the principal axes of the colours."""

import pytest
import torch

from dlplug.errors import InvalidValueError
from dlplug.transforms.lighting import Lighting


def test_the_steps_have_the_covariance_of_the_colours():
    """Every pixel of an image takes the same step; over many images steps vary as pixels do.

    Tolerance: five standard errors of a variance of 4,000 draws.
    """
    torch.manual_seed(0)
    mix = torch.tensor([[1.0, 0, 0], [0.8, 0.3, 0], [0.5, 0.2, 0.1]])
    images = torch.einsum("cd,bdhw->bchw", mix, torch.randn(4000, 3, 2, 2))
    step = Lighting(0.1)(images) - images
    assert float(step.std(dim=(2, 3)).max()) < 1e-5
    covariance = torch.cov(images.transpose(0, 1).flatten(1))
    found = torch.cov(step[:, :, 0, 0].T) / 0.01
    torch.testing.assert_close(found, covariance, atol=0.12, rtol=0)


def test_grey_images_become_brighter_or_darker():
    """One channel has one axis."""
    moved = Lighting(0.5)(torch.randn(4, 1, 8, 8))
    assert moved.shape == (4, 1, 8, 8)


def test_a_negative_strength_is_refused():
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match=r"strength = -0\.1"):
        Lighting(-0.1)
