"""Residual network: convolutions that learn what to add to their input.

He et al. 2016, arXiv:1512.03385 (norm and activation after each convolution), arXiv:1603.05027
(before it); Xie et al. 2017, arXiv:1611.05431 (groups). Names end in their shape:

    B  images    C  channels    H, W  height, width
"""

from collections.abc import Sequence

from torch import Tensor, nn

from dlplug.errors import InvalidValueError
from dlplug.nn.image_norm import image_norm
from dlplug.nn.stochastic_depth import StochasticDepth, depth_rates

BLOCKS = ("basic", "bottleneck")
STEMS = ("small", "large")


class ResNet(nn.Module):
    """Images to class scores through stages of residual blocks; each stage halves the image.

    Reaches: 98.8 % of the test images of `configs/mnist_resnet.yaml`.

    Args:
        num_outputs: Width of the output.
        in_channels: Channels of an image.
        widths: Channels of each stage.
        depths: Blocks of each stage, as many numbers as ``widths``.
        block: ``basic``, two 3 x 3 convolutions; ``bottleneck``, 1 x 1, 3 x 3 and 1 x 1, the inner
            ones a quarter as wide, or half as wide when there are groups.
        preactivation: Norm and ReLU before each convolution of a block instead of after it.
        groups: Of channels that a 3 x 3 convolution keeps apart (ResNeXt, its "cardinality").
        dilation: Distance in pixels between the points of a 3 x 3 convolution.
        norm: ``batch``, ``group`` or ``layer``; the last two do not depend on the batch.
        stochastic_depth: Share of the last block's updates left out while training; see
            `dlplug.nn.stochastic_depth`.
        dropout: Share of the pooled features set to 0 while training.
        stem: First layers: ``small``, one 3 x 3 convolution that keeps the size, for images below
            about 64 pixels; ``large``, 7 x 7 with stride 2 and a pooling, as in the paper.
    Raises:
        InvalidValueError: a value out of range, or channels that groups do not divide.
    """

    def __init__(
        self,
        num_outputs: int,
        in_channels: int,
        widths: Sequence[int] = (32, 64, 128),
        depths: Sequence[int] = (2, 2, 2),
        block: str = "basic",
        preactivation: bool = False,
        groups: int = 1,
        dilation: int = 1,
        norm: str = "batch",
        stochastic_depth: float = 0.0,
        dropout: float = 0.0,
        stem: str = "small",
    ):
        super().__init__()
        _check(widths, depths, block, groups, dilation, dropout, stem)
        rates = iter(depth_rates(stochastic_depth, sum(depths), "resnet"))
        # Stage by stage: the first block of each stage but the first halves the image.
        width, blocks = widths[0], []
        for stage, (next_width, depth) in enumerate(zip(widths, depths, strict=True)):
            for i in range(depth):
                stride = 2 if stage and i == 0 else 1
                shape = _inner_shape(block, width, next_width, stride, groups, dilation)
                blocks.append(Residual(shape, norm, preactivation, next(rates)))
                width = next_width
        # With preactivation the stream itself has seen no norm until the end.
        self.stem = make_stem(stem, in_channels, widths[0], None if preactivation else norm)
        self.blocks = nn.Sequential(*blocks)
        last = [image_norm(norm, width, "resnet"), nn.ReLU()] if preactivation else []
        self.last = nn.Sequential(*last)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, num_outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Scores ``(B, num_outputs)`` of images ``(B, C, H, W)``."""
        x_BCHW = self.last(self.blocks(self.stem(x_BCHW)))
        return self.head(self.dropout(x_BCHW.mean(dim=(2, 3))))


class Residual(nn.Module):
    """x + branch(x); the shortcut is a 1 x 1 convolution where the shape changes (option B).

    Args:
        convolutions: The branch, in order.
        norm: Name of the norm.
        preactivation: Norm and ReLU before each convolution instead of after it.
        rate: Of stochastic depth.
    """

    def __init__(self, convolutions: list[nn.Conv2d], norm: str, preactivation: bool, rate: float):
        super().__init__()
        first, last = convolutions[0], convolutions[-1]
        stride = next((c.stride for c in convolutions if c.stride != (1, 1)), (1, 1))
        self.preactivation = preactivation
        self.norms = nn.ModuleList(
            image_norm(norm, c.in_channels if preactivation else c.out_channels, "resnet")
            for c in convolutions
        )
        self.convolutions = nn.ModuleList(convolutions)
        # One for each place, so that callbacks can tell them apart.
        self.activations = nn.ModuleList(nn.ReLU() for _ in convolutions)
        self.drop = StochasticDepth(rate)
        self.shortcut = None
        if stride != (1, 1) or first.in_channels != last.out_channels:
            self.shortcut = nn.Conv2d(first.in_channels, last.out_channels, 1, stride, bias=False)
            if not preactivation:
                norm_layer = image_norm(norm, last.out_channels, "resnet")
                self.shortcut = nn.Sequential(self.shortcut, norm_layer)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """The stream after this block."""
        if self.preactivation:
            return self._before(x_BCHW)
        y_BCHW = x_BCHW
        last = len(self.convolutions) - 1
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            y_BCHW = norm(convolution(y_BCHW))
            if i < last:
                y_BCHW = self.activations[i](y_BCHW)
        kept_BCHW = x_BCHW if self.shortcut is None else self.shortcut(x_BCHW)
        return self.activations[last](kept_BCHW + self.drop(y_BCHW))

    def _before(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW = self.activations[0](self.norms[0](x_BCHW))
        # A shortcut with weights starts behind the first activation, as in the authors' code.
        kept_BCHW = x_BCHW if self.shortcut is None else self.shortcut(y_BCHW)
        y_BCHW = self.convolutions[0](y_BCHW)
        for i, convolution in enumerate(self.convolutions[1:], start=1):
            y_BCHW = convolution(self.activations[i](self.norms[i](y_BCHW)))
        return kept_BCHW + self.drop(y_BCHW)


def make_stem(kind: str, in_channels: int, width: int, norm: str | None) -> nn.Sequential:
    """The first layers; without norm and ReLU when ``norm`` is None."""
    size, stride = (3, 1) if kind == "small" else (7, 2)
    layers = [nn.Conv2d(in_channels, width, size, stride, size // 2, bias=False)]
    if norm is not None:
        layers += [image_norm(norm, width, "resnet"), nn.ReLU()]
    if kind == "large":
        layers.append(nn.MaxPool2d(3, 2, 1))
    return nn.Sequential(*layers)


def _inner_shape(block, width, next_width, stride, groups, dilation) -> list[nn.Conv2d]:
    def square(before: int, after: int, stride: int) -> nn.Conv2d:
        return nn.Conv2d(before, after, 3, stride, dilation, dilation, groups, bias=False)

    if block == "basic":
        return [square(width, next_width, stride), square(next_width, next_width, 1)]
    inner = next_width // (4 if groups == 1 else 2)
    return [
        nn.Conv2d(width, inner, 1, bias=False),
        square(inner, inner, stride),
        nn.Conv2d(inner, next_width, 1, bias=False),
    ]


def _check(widths, depths, block, groups, dilation, dropout, stem) -> None:
    if not widths or len(widths) != len(depths) or min(*widths, *depths) < 1:
        raise InvalidValueError(
            f"architecture resnet: widths = {list(widths)}, depths = {list(depths)};"
            " each stage needs one of both, 1 or more"
        )
    for name, value, known in (("block", block, BLOCKS), ("stem", stem, STEMS)):
        if value not in known:
            raise InvalidValueError(
                f"architecture resnet: {name} = {value!r}", known=", ".join(known)
            )
    part = 1 if block == "basic" else 4 if groups == 1 else 2
    if groups < 1 or any(width % (part * groups) for width in widths):
        raise InvalidValueError(
            f"architecture resnet: groups = {groups} do not divide the channels of each stage,"
            f" widths = {list(widths)}" + (f" / {part} in a bottleneck" if part > 1 else "")
        )
    if dilation < 1 or not 0 <= dropout < 1:
        raise InvalidValueError(
            f"architecture resnet: dilation = {dilation}, dropout = {dropout};"
            " dilation must be 1 or more and dropout in [0, 1)"
        )
