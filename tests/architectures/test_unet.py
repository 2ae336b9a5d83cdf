"""U-Net: the paper's paths, for images of any size."""

import pytest
import torch
import torch.nn.functional as F

from dlplug.architectures.unet import UNet, pad_to_multiple
from dlplug.errors import InvalidValueError


def unet(**arguments):
    torch.manual_seed(0)
    return UNet(num_outputs=5, in_channels=3, **({"widths": (4, 6, 8)} | arguments))


def test_it_equals_the_figure():
    """Down, up and the connections across, written out."""
    model, x = unet().eval(), torch.randn(2, 3, 8, 12)
    full = model.down[0](x)
    half = model.down[1](F.max_pool2d(full, 2))
    quarter = model.down[2](F.max_pool2d(half, 2))
    y = model.up[0](torch.cat([half, model.enlarge[0](quarter)], 1))
    y = model.up[1](torch.cat([full, model.enlarge[1](y)], 1))
    torch.testing.assert_close(model(x), model.head(y))
    assert quarter.shape == (2, 8, 2, 3)


@pytest.mark.parametrize("size", [(8, 8), (7, 13), (1, 1), (5, 32)])
def test_scores_have_the_size_of_the_image(size):
    """Any height and width, also those that do not halve evenly."""
    assert unet().eval()(torch.randn(2, 3, *size)).shape == (2, 5, *size)


def test_the_margin_repeats_the_edge():
    """Three columns become four; nothing changes where nothing is missing."""
    x = torch.arange(6.0).view(1, 1, 2, 3)
    assert pad_to_multiple(x, 2).tolist() == [[[[0, 1, 2, 2], [3, 4, 5, 5]]]]
    assert pad_to_multiple(x, 1) is x


@pytest.mark.parametrize("kind", ["batch", "group", "layer"])
def test_every_norm_trains(kind):
    """All parameters get a gradient."""
    model = unet(norm=kind)
    model(torch.randn(2, 3, 8, 8)).square().mean().backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": ()}, r"unet: widths = \[\]"),
        ({"dropout": 1.0}, "dropout = 1.0"),
        ({"norm": "bach"}, "architecture unet: norm = 'bach'"),
    ],
)
def test_values_out_of_range_are_refused(arguments, message):
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match=message):
        unet(**arguments)
