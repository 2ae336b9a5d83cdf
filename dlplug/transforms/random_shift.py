"""Move each image of a batch by a random number of pixels."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dlplug.errors import InvalidValueError


def random_shift(images: Tensor, max_shift: int, fill: float = 0.0) -> Tensor:
    """Shift each image by its own ``(dy, dx)``, both uniform in ``-max_shift ... max_shift``.

    Pixels that come in from outside have the value ``fill``. The whole batch is one gather; the
    offsets come from torch's global generator.

    Args:
        images: Shape ``(B, C, H, W)``, any dtype.
        max_shift: Largest move along each axis, in pixels; >= 0.
        fill: Value of the background.
    Returns:
        Tensor like ``images``.
    """
    if max_shift == 0:
        return images
    num_images, num_channels, height, width = images.shape
    padded = F.pad(images, (max_shift,) * 4, value=fill)
    # CPU offsets: the same numbers on every device, and no synchronisation to read them.
    offset_B2 = torch.randint(0, 2 * max_shift + 1, (num_images, 2)).to(images.device)
    row_BH = offset_B2[:, 0, None] + torch.arange(height, device=images.device)
    col_BW = offset_B2[:, 1, None] + torch.arange(width, device=images.device)
    image = torch.arange(num_images, device=images.device)[:, None, None, None]
    channel = torch.arange(num_channels, device=images.device)[None, :, None, None]
    return padded[image, channel, row_BH[:, None, :, None], col_BW[:, None, None, :]]


class RandomShift:
    """`random_shift` with fixed settings, to be called on batches.

    Args:
        max_shift: Largest move along each axis, in pixels; >= 0.
        fill: Value of the background.
    Raises:
        InvalidValueError: ``max_shift`` is below 0.
    """

    def __init__(self, max_shift: int = 2, fill: float = 0.0):
        if max_shift < 0:
            raise InvalidValueError(f"random_shift: max_shift = {max_shift} is below 0 pixels")
        self.max_shift = max_shift
        self.fill = fill

    def __call__(self, images: Tensor) -> Tensor:
        """See `random_shift`."""
        return random_shift(images, self.max_shift, self.fill)

    def __repr__(self) -> str:
        return f"RandomShift(max_shift={self.max_shift}, fill={self.fill})"
