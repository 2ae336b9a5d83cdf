"""brightness_contrast: each image by its own two numbers."""

import pytest
import torch

from dlplug.errors import InvalidValueError
from dlplug.transforms.brightness_contrast import BrightnessContrast


def test_mean_and_deviation_change_within_their_bounds():
    """The mean moves by b, the deviation is multiplied by 1 + c, and the extremes are reached."""
    torch.manual_seed(0)
    image = torch.randn(1, 3, 6, 6)
    moved = BrightnessContrast(0.5, 0.2)(image.expand(1000, -1, -1, -1))
    b = moved.mean(dim=(1, 2, 3)) - image.mean()
    c = moved.std(dim=(1, 2, 3)) / image.std() - 1
    for found, bound in ((b, 0.5), (c, 0.2)):
        assert bound * 0.98 < float(found.abs().max()) < bound * 1.0001
        assert float(found.min()) < 0 < float(found.max())
    expected = (image - image.mean()) * (1 + c[:, None, None, None]) + image.mean()
    torch.testing.assert_close(moved, expected + b[:, None, None, None])


@pytest.mark.parametrize("arguments", [{"brightness": -1.0}, {"contrast": 1.5}])
def test_values_out_of_range_are_refused(arguments):
    """The message holds both values."""
    with pytest.raises(InvalidValueError, match=r"brightness = .*contrast = "):
        BrightnessContrast(**arguments)
