"""image_input: raw arrays from outside, in the shapes that people have."""

import numpy as np
import pytest
import torch

from dlplug.data.images import image_input
from dlplug.errors import DataError

IMAGE = np.arange(16).reshape(4, 4)


@pytest.mark.parametrize(
    "array",
    [IMAGE, IMAGE[None], IMAGE.ravel(), IMAGE.ravel()[None], IMAGE[None, None]],
    ids=["HW", "CHW or BHW", "P", "BP", "BCHW"],
)
def test_one_image_in_any_shape(array):
    """An image, a row of pixels, one or many: always (B, C, H, W) float32."""
    images = image_input(array, 1, 4, "toy")
    assert torch.equal(images, torch.arange(16.0).view(1, 1, 4, 4))


def test_several_channels_need_the_channel_axis():
    """(3, 4, 4) is one image of three channels, (4, 4) is none."""
    assert image_input(np.zeros((3, 4, 4)), 3, 4, "toy").shape == (1, 3, 4, 4)
    with pytest.raises(DataError, match=r"shape \(4, 4\) is no image"):
        image_input(np.zeros((4, 4)), 3, 4, "toy")


def test_other_shapes_name_the_accepted_ones():
    """The message says what it got and what it takes."""
    with pytest.raises(DataError, match=r"shape \(5, 5\)") as error:
        image_input(np.zeros((5, 5)), 1, 4, "toy")
    assert "(4, 4) or (number of images, 4, 4)" in str(error.value)


def test_text_is_no_pixel():
    """An array of strings is refused by its type."""
    with pytest.raises(DataError, match="holds no pixels"):
        image_input(np.array([["a"] * 4] * 4), 1, 4, "toy")
