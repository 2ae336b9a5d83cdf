"""Depthwise-separable network: the paper's convolutions and sizes."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlplug.architectures.separable_cnn import SeparableCNN
from dlplug.errors import InvalidValueError
from tests.architectures.proof import accuracy_after, linear_accuracy


def separable(**arguments):
    torch.manual_seed(0)
    return SeparableCNN(num_outputs=5, in_channels=3, **({"widths": (8, 16, 32)} | arguments))


def test_a_block_filters_each_channel_then_mixes_them():
    """Against sums over single channels: depthwise, then a matrix over the channels."""
    model, x = separable(widths=(4, 6)).eval(), torch.randn(2, 4, 6, 6)
    depthwise, pointwise = model.layers[3], model.layers[6]
    each = [F.conv2d(x[:, c : c + 1], depthwise.weight[c : c + 1], padding=1) for c in range(4)]
    torch.testing.assert_close(depthwise(x), torch.cat(each, 1))
    mixed = torch.einsum("bchw,dc->bdhw", x, pointwise.weight[:, :, 0, 0])
    torch.testing.assert_close(pointwise(x), mixed)


def test_it_is_the_papers_network():
    """Table 1 at 224 pixels: MobileNet's parameters (4.2 million) and its last 7 x 7 pixels."""
    widths = (32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024)
    with torch.device("meta"):
        model = SeparableCNN(1000, 3, widths=widths, stem_stride=2)
        assert model.layers(torch.empty(1, 3, 224, 224)).shape == (1, 1024, 7, 7)
    assert sum(p.numel() for p in model.parameters()) == 4_231_976


def test_the_multiplier_scales_every_width():
    """alpha of the paper, but for the input and the scores."""
    model = separable(width_multiplier=0.5)
    found = [m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert found == [4, 4, 8, 8, 16]


def test_it_beats_a_linear_model():
    """Trained equally long on the same images, by more than three standard errors (0.03)."""
    accuracy = accuracy_after(lambda: SeparableCNN(10, 1, widths=(16, 32, 32, 64)), lr=2e-2)
    assert accuracy > linear_accuracy() + 0.03


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": ()}, r"widths = \[\]"),
        ({"width_multiplier": 0.0}, "width_multiplier = 0.0"),
        ({"stem_stride": 3}, "stem_stride = 3"),
        ({"dropout": -0.1}, "dropout = -0.1"),
        ({"norm": "bach"}, "architecture separable_cnn: norm = 'bach'"),
    ],
)
def test_values_out_of_range_are_refused(arguments, message):
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match=message):
        separable(**arguments)
