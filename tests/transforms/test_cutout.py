"""cutout: one square of each image, anywhere."""

import pytest
import torch

from dlplug.errors import InvalidValueError
from dlplug.transforms.cutout import Cutout


def test_a_square_is_covered_and_nothing_else():
    """Where it lies within the image it has size * size pixels, in all channels."""
    torch.manual_seed(0)
    images = torch.rand(500, 2, 7, 9) + 1
    moved = Cutout(3, fill=0.5)(images)
    covered = moved == 0.5
    assert torch.equal(covered[:, 0], covered[:, 1])
    assert torch.equal(moved[~covered], images[~covered])
    area = covered[:, 0].sum(dim=(1, 2))
    # From a corner with 2 x 2 pixels left to the whole square.
    assert set(area.tolist()) == {4, 6, 9}
    assert bool(covered[:, 0].any(dim=0).all())


def test_the_global_seed_decides():
    """The same seed, the same squares."""
    images = torch.rand(8, 1, 6, 6)
    torch.manual_seed(3)
    first = Cutout(2)(images)
    torch.manual_seed(3)
    assert torch.equal(first, Cutout(2)(images))


def test_no_square_is_refused():
    """The message holds the size."""
    with pytest.raises(InvalidValueError, match="cutout: size = 0"):
        Cutout(0)
