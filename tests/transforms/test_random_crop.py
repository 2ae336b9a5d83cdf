"""random_crop: windows of the padded image, the same for image and mask."""

import pytest
import torch
import torch.nn.functional as F

from dlplug.errors import InvalidValueError
from dlplug.transforms.random_crop import RandomCrop


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate"])
def test_each_image_is_a_window_of_the_padded_one(mode):
    """Every result is one of the 25 windows, and all of them occur."""
    image = torch.rand(1, 2, 5, 6)
    labels = torch.zeros(300, dtype=torch.int64)
    moved, targets = RandomCrop(2, mode, fill=0.0)(image.expand(300, -1, -1, -1), labels)
    padded = F.pad(image, (2, 2, 2, 2), mode=mode)[0]
    windows = [padded[:, y : y + 5, x : x + 6] for y in range(5) for x in range(5)]
    found = {next(i for i, w in enumerate(windows) if torch.equal(w, m)) for m in moved}
    assert found == set(range(25)) and targets is labels


def test_a_mask_moves_with_its_image():
    """What was equal before is equal after, and the outside of a mask is -100."""
    images = torch.arange(1.0, 31).view(1, 1, 5, 6).expand(50, -1, -1, -1)
    moved, masks = RandomCrop(3, fill=-100.0)(images, images[:, 0].long())
    assert torch.equal(moved[:, 0].long(), masks) and (masks == -100).any()


def test_no_padding_is_no_work():
    """The very same tensors."""
    images, labels = torch.rand(2, 1, 4, 4), torch.zeros(2)
    assert RandomCrop(0)(images, labels)[0] is images


@pytest.mark.parametrize("arguments", [{"padding": -1}, {"mode": "wrap"}])
def test_values_out_of_range_are_refused(arguments):
    """The message holds both values."""
    with pytest.raises(InvalidValueError, match=r"random_crop: padding = .*mode = "):
        RandomCrop(**arguments)
