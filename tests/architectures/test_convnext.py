"""ConvNeXt: the paper's block and sizes, whatever the backend of the norm."""

import pytest
import torch
import torch.nn.functional as F

from dlplug.architectures.convnext import Block, ConvNeXt
from dlplug.errors import InvalidValueError
from dlplug.ops import use_backend
from tests.architectures.proof import accuracy_after, linear_accuracy


def convnext(**arguments):
    torch.manual_seed(0)
    chosen = {"dims": (8, 16), "depths": (1, 1), "kernel_size": 3} | arguments
    return ConvNeXt(num_outputs=5, in_channels=3, **chosen)


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_a_block_equals_the_paper(backend):
    """Figure 4 with 1 x 1 convolutions in place of linear layers, and gradients too."""
    torch.manual_seed(0)
    block, x = Block(8, 7, 0.5, rate=0.0), torch.randn(2, 8, 9, 7)
    up, _, down = block.mlp
    y = F.conv2d(x, block.depthwise.weight, block.depthwise.bias, padding=3, groups=8)
    y = (y - y.mean(1, keepdim=True)) / (y.var(1, unbiased=False, keepdim=True) + 1e-6).sqrt()
    y = F.conv2d(y, up.weight[:, :, None, None], up.bias)
    y = F.conv2d(F.gelu(y), down.weight[:, :, None, None], down.bias)
    expected = x + 0.5 * y
    (gradient,) = torch.autograd.grad(expected.square().sum(), block.depthwise.weight)
    with use_backend(backend):
        found = block(x)
        found.square().sum().backward()
    # float32 sums in another order.
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(block.depthwise.weight.grad, gradient, rtol=1e-3, atol=1e-3)


def test_it_is_the_papers_network():
    """ConvNeXt-T at 224 pixels: 28.6 million parameters, 7 x 7 pixels at the end."""
    with torch.device("meta"):
        model = ConvNeXt(1000, 3, dims=(96, 192, 384, 768), depths=(3, 3, 9, 3), patch_size=4)
    assert sum(p.numel() for p in model.parameters()) == 28_589_128


def test_each_stage_halves_the_image():
    """Patches of 2, then one halving: 16 x 12 becomes 4 x 3."""
    assert convnext().layers(torch.randn(2, 3, 16, 12)).shape == (2, 16, 4, 3)


def test_stochastic_depth_acts_while_training_only():
    """Two passes differ in training and agree in evaluation."""
    model, x = convnext(stochastic_depth=0.9, layer_scale=1.0), torch.randn(8, 3, 8, 8)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_it_beats_a_linear_model():
    """Trained equally long on the same images, by more than a standard error of both (0.014)."""

    def make():
        return ConvNeXt(10, 1, dims=(32, 64), depths=(1, 1), kernel_size=5, layer_scale=0.5)

    assert accuracy_after(make, lr=2e-2) > linear_accuracy() + 0.015


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depths": (1,)}, r"dims = \[8, 16\], depths = \[1\]"),
        ({"patch_size": 0}, "patch_size = 0"),
        ({"kernel_size": 4}, "kernel_size = 4"),
        ({"layer_scale": 0.0}, "layer_scale = 0.0"),
        ({"dropout": 1.5}, "dropout = 1.5"),
        ({"stochastic_depth": -1.0}, "convnext: stochastic_depth = -1.0"),
    ],
)
def test_values_out_of_range_are_refused(arguments, message):
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match=message):
        convnext(**arguments)
