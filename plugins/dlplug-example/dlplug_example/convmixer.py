"""ConvMixer: an image network of depthwise and pointwise convolutions on patches."""

from torch import Tensor, nn


class Residual(nn.Module):
    """``x + block(x)``."""

    def __init__(self, block: nn.Module):
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class ConvMixer(nn.Module):
    """Patches, then layers that mix positions (depthwise) and channels (pointwise) in turn.

    The sizes are for small images: with 28 x 28 pixels and 10 classes 25,418 parameters.

    Args:
        in_channels: Channels of an image.
        num_classes: Number of scores.
        dim: Width of every layer.
        depth: Number of layers.
        kernel_size: Side of the depthwise kernels in patches; odd.
        patch_size: Side of a patch in pixels; divides height and width.
    Shape:
        ``(B, in_channels, H, W)`` to scores ``(B, num_classes)``.
    Raises:
        ValueError: ``kernel_size`` is even, or a count is below 1.
    References: Trockman, Kolter 2022, "Patches Are All You Need?", arXiv:2201.09792, appendix A.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        dim: int = 64,
        depth: int = 4,
        kernel_size: int = 5,
        patch_size: int = 2,
    ):
        super().__init__()
        sizes = {"dim": dim, "depth": depth, "kernel_size": kernel_size, "patch_size": patch_size}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} = {size}: must be at least 1")
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size = {kernel_size}: must be odd, to keep the image's size")
        self.patch_size = patch_size
        self.embedding = _activated(nn.Conv2d(in_channels, dim, patch_size, stride=patch_size))
        self.layers = nn.Sequential(*(_layer(dim, kernel_size) for _ in range(depth)))
        self.head = nn.Linear(dim, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Scores of each class.

        Raises:
            ValueError: height or width is not a multiple of ``patch_size``.
        """
        height, width = images.shape[-2:]
        if height % self.patch_size or width % self.patch_size:
            # The strided convolution would drop the last rows or columns without a word.
            raise ValueError(f"image of {height} x {width} is no multiple of {self.patch_size}")
        x = self.layers(self.embedding(images))
        return self.head(x.mean(dim=(-2, -1)))


def _layer(dim: int, kernel_size: int) -> nn.Sequential:
    depthwise = nn.Conv2d(dim, dim, kernel_size, groups=dim, padding=kernel_size // 2)
    return nn.Sequential(Residual(_activated(depthwise)), _activated(nn.Conv2d(dim, dim, 1)))


def _activated(convolution: nn.Conv2d) -> nn.Sequential:
    # The order of the paper: activation before normalisation.
    return nn.Sequential(convolution, nn.GELU(), nn.BatchNorm2d(convolution.out_channels))
