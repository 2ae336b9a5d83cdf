"""Norms of images, chosen by name."""

import pytest
import torch
import torch.nn.functional as F

from dlplug.errors import InvalidValueError
from dlplug.nn.image_norm import image_norm


def test_each_name_normalises_over_its_own_axes():
    """Against the definitions: batch and pixels; a group's channels and pixels; channels."""
    x = torch.randn(5, 48, 4, 3)

    def by_hand(x, axes):
        variance = x.var(axes, unbiased=False, keepdim=True)
        return (x - x.mean(axes, keepdim=True)) / (variance + 1e-5).sqrt()

    torch.testing.assert_close(image_norm("batch", 48, "a")(x), by_hand(x, (0, 2, 3)))
    torch.testing.assert_close(image_norm("layer", 48, "a")(x), by_hand(x, (1,)))
    # 16 groups: the largest number that divides both 32 and 48.
    grouped = by_hand(x.view(5, 16, 3, 4, 3), (2, 3, 4)).view_as(x)
    torch.testing.assert_close(image_norm("group", 48, "a")(x), grouped)


def test_the_channels_scale_and_shift_by_themselves():
    """The layer norm's weight belongs to channels, not to columns."""
    norm, x = image_norm("layer", 3, "a"), torch.randn(2, 3, 5, 3)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
    expected = F.layer_norm(x.permute(0, 2, 3, 1), (3,), norm.weight).permute(0, 3, 1, 2)
    torch.testing.assert_close(norm(x), expected)


def test_an_unknown_norm_is_refused():
    """The message lists the names."""
    with pytest.raises(InvalidValueError, match="architecture resnet: norm = 'bach'") as error:
        image_norm("bach", 8, "resnet")
    assert error.value.known == "batch, group, layer"
