"""ResNet: the papers' equations and options, and better than a linear model."""

import pytest
import torch
import torch.nn.functional as F

from dlplug.architectures.resnet import ResNet
from dlplug.errors import InvalidValueError
from tests.architectures.proof import accuracy_after, linear_accuracy


def resnet(**arguments):
    torch.manual_seed(0)
    chosen = {"widths": (8, 16), "depths": (1, 1)} | arguments
    model = ResNet(num_outputs=5, in_channels=3, **chosen).eval()
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    return model


def norm(x, layer):
    mean, variance = layer.running_mean, layer.running_var
    return F.batch_norm(x, mean, variance, layer.weight, layer.bias)


def test_post_activation_equals_the_paper():
    """Two stages of y = relu(shortcut(x) + norm(conv(relu(norm(conv(x)))))), weight by weight."""
    model, x = resnet(), torch.randn(2, 3, 9, 7)
    y = F.relu(norm(F.conv2d(x, model.stem[0].weight, padding=1), model.stem[1]))
    for block, stride in zip(model.blocks, (1, 2), strict=True):
        first, second = (c.weight for c in block.convolutions)
        z = F.relu(norm(F.conv2d(y, first, stride=stride, padding=1), block.norms[0]))
        z = norm(F.conv2d(z, second, padding=1), block.norms[1])
        if stride == 2:
            y = norm(F.conv2d(y, block.shortcut[0].weight, stride=2), block.shortcut[1])
        else:
            assert block.shortcut is None
        y = F.relu(y + z)
    torch.testing.assert_close(model(x), model.head(y.mean((2, 3))))


def test_pre_activation_equals_the_paper():
    """x + conv(relu(norm(conv(relu(norm(x)))))), one norm and ReLU at the end."""
    model, x = resnet(preactivation=True), torch.randn(2, 3, 9, 7)
    y = F.conv2d(x, model.stem[0].weight, padding=1)
    for block, stride in zip(model.blocks, (1, 2), strict=True):
        first, second = (c.weight for c in block.convolutions)
        start = F.relu(norm(y, block.norms[0]))
        z = F.relu(norm(F.conv2d(start, first, stride=stride, padding=1), block.norms[1]))
        kept = F.conv2d(start, block.shortcut.weight, stride=2) if stride == 2 else y
        y = kept + F.conv2d(z, second, padding=1)
    pooled = F.relu(norm(y, model.last[0])).mean((2, 3))
    torch.testing.assert_close(model(x), model.head(pooled))


def test_groups_dilation_and_bottleneck_are_in_the_convolutions():
    """Half as wide inside with groups, a quarter without; dilation keeps the size."""
    model = resnet(block="bottleneck", groups=4, dilation=2, widths=(16, 32))
    shapes = [tuple(c.weight.shape) for c in model.blocks[1].convolutions]
    assert shapes == [(16, 16, 1, 1), (16, 4, 3, 3), (32, 16, 1, 1)]
    assert [c.dilation for c in model.blocks[1].convolutions] == [(1, 1), (2, 2), (1, 1)]
    x = torch.randn(2, 3, 12, 12)
    assert model.blocks(model.stem(x)).shape == (2, 32, 6, 6)
    plain = resnet(block="bottleneck", widths=(16, 32))
    assert plain.blocks[0].convolutions[1].weight.shape == (4, 4, 3, 3)


def test_the_large_stem_is_the_papers():
    """224 pixels become 56 before the first stage."""
    assert resnet(stem="large").stem(torch.zeros(1, 3, 224, 224)).shape == (1, 8, 56, 56)


@pytest.mark.parametrize("kind", ["group", "layer"])
def test_other_norms_do_not_depend_on_the_batch(kind):
    """An image has the same scores alone and among others, while training too."""
    model, x = resnet(norm=kind).train(), torch.randn(4, 3, 8, 8)
    torch.testing.assert_close(model(x)[:1], model(x[:1]))


def test_stochastic_depth_acts_while_training_only():
    """Two passes differ in training and agree in evaluation."""
    model, x = resnet(norm="group", stochastic_depth=0.9).train(), torch.randn(8, 3, 8, 8)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize("preactivation", [False, True])
def test_it_beats_a_linear_model(preactivation):
    """Trained equally long on the same images, by more than three standard errors (0.03)."""

    def make():
        return ResNet(10, 1, widths=(16, 32), depths=(1, 1), preactivation=preactivation)

    assert accuracy_after(make) > linear_accuracy() + 0.03


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depths": (1,)}, r"widths = \[8, 16\], depths = \[1\]"),
        ({"widths": (), "depths": ()}, "each stage needs one of both"),
        ({"block": "basik"}, "block = 'basik'"),
        ({"stem": "tiny"}, "stem = 'tiny'"),
        ({"groups": 3}, "groups = 3 do not divide"),
        ({"block": "bottleneck", "groups": 8}, r"widths = \[8, 16\] / 2 in a bottleneck"),
        ({"dilation": 0}, "dilation = 0"),
        ({"dropout": 1.0}, "dropout = 1.0"),
        ({"norm": "bach"}, "norm = 'bach'"),
        ({"stochastic_depth": 1.0}, "resnet: stochastic_depth = 1.0"),
    ],
)
def test_values_out_of_range_are_refused(arguments, message):
    """The message holds the value."""
    with pytest.raises(InvalidValueError, match=message):
        resnet(**arguments)
