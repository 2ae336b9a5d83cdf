"""ConvMixer against the formula of the paper."""

import pytest
import torch
from dlplug_example.convmixer import ConvMixer
from torch.nn import functional


def test_sizes():
    """Scores have one column per class; the docstring's number of parameters is right."""
    model = ConvMixer(1, 10)
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert sum(p.numel() for p in model.parameters()) == 25_418


def test_one_layer_is_the_formula():
    """z' = BN(GELU(depthwise z)) + z, then BN(GELU(pointwise z')), then the mean and a linear."""
    torch.manual_seed(0)
    model = ConvMixer(3, 5, dim=8, depth=1, kernel_size=3, patch_size=4).double().eval()
    x = torch.randn(2, 3, 8, 12, dtype=torch.float64)

    def activated(convolution, y):
        return functional.gelu(y) / (1 + 1e-5) ** 0.5  # a fresh batch norm, mean 0, variance 1

    patches, depthwise = model.embedding[0], model.layers[0][0].block[0]
    pointwise = model.layers[0][1][0]
    z = activated(patches, functional.conv2d(x, patches.weight, patches.bias, stride=4))
    mixed = functional.conv2d(z, depthwise.weight, depthwise.bias, padding=1, groups=8)
    z = z + activated(depthwise, mixed)
    z = activated(pointwise, functional.conv2d(z, pointwise.weight, pointwise.bias))
    torch.testing.assert_close(model(x), model.head(z.mean(dim=(-2, -1))))


def test_it_learns():
    """A few steps lower the loss of a fixed batch to near zero."""
    torch.manual_seed(0)
    model = ConvMixer(1, 4, dim=16, depth=2)
    images, labels = torch.randn(16, 1, 8, 8), torch.arange(16) % 4
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(40):
        loss = functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"kernel_size": 4}, "kernel_size = 4: must be odd"), ({"depth": 0}, "depth = 0")],
)
def test_impossible_sizes_are_refused(arguments, message):
    """The message holds the argument and its value."""
    with pytest.raises(ValueError, match=message):
        ConvMixer(1, 10, **arguments)


def test_an_image_that_does_not_divide_is_refused():
    """Rows that the patches would leave out are an error."""
    with pytest.raises(ValueError, match="image of 9 x 8 is no multiple of 2"):
        ConvMixer(1, 10, dim=4)(torch.zeros(1, 1, 9, 8))
