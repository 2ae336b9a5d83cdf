"""Boxes as masks of pixels."""

import torch

from dlplug.transforms.boxes import box_mask


def test_a_box_lies_around_its_centre_and_is_cut_at_the_border():
    """Row and column, height and width, image by image."""
    centres, sizes = torch.tensor([[1, 2], [0, 4]]), torch.tensor([[2, 1], [3, 3]])
    found = box_mask(centres, sizes, 3, 5, torch.device("cpu"))
    expected = torch.zeros(2, 1, 3, 5, dtype=torch.bool)
    expected[0, 0, 0:2, 2:3] = True
    expected[1, 0, 0:2, 3:5] = True
    assert torch.equal(found, expected)
