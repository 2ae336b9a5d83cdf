"""Cover a random square of each image."""

import torch
from torch import Tensor

from dlplug.errors import InvalidValueError
from dlplug.transforms.boxes import box_mask


def cutout(images: Tensor, size: int, fill: float = 0.0) -> Tensor:
    """Cover one square of each image, whose middle is any of its pixels.

    Squares reach beyond the border, as the paper found best. The places come from torch's global
    generator.

    Args:
        images: Shape ``(B, C, H, W)``, any dtype.
        size: Side of the square in pixels.
        fill: Value of the covered pixels; 0 is the mean of standardised images.
    Returns:
        Tensor like ``images``.
    References: DeVries, Taylor 2017, arXiv:1708.04552, section 3.
    """
    height, width = images.shape[-2:]
    # CPU draws: the same numbers on every device.
    centre_B2 = torch.stack(
        [torch.randint(side, (len(images),)) for side in (height, width)], dim=1
    )
    size_B2 = torch.full_like(centre_B2, size)
    covered = box_mask(centre_B2, size_B2, height, width, images.device)
    return images.masked_fill(covered, fill)


class Cutout:
    """`cutout` with fixed settings, to be called on batches.

    Args:
        size: Side of the square in pixels; 1 or more.
        fill: Value of the covered pixels.
    Raises:
        InvalidValueError: ``size`` is below 1.
    """

    def __init__(self, size: int = 8, fill: float = 0.0):
        if size < 1:
            raise InvalidValueError(f"cutout: size = {size} is below 1 pixel")
        self.size = size
        self.fill = fill

    def __call__(self, images: Tensor) -> Tensor:
        """See `cutout`."""
        return cutout(images, self.size, self.fill)

    def __repr__(self) -> str:
        return f"Cutout(size={self.size}, fill={self.fill})"
