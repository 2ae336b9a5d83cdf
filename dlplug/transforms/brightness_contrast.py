"""Make each image brighter or darker, and its contrasts stronger or weaker."""

import torch
from torch import Tensor

from dlplug.errors import InvalidValueError


def brightness_contrast(images: Tensor, brightness: float, contrast: float) -> Tensor:
    """y = (x - mean) * (1 + c) + mean + b, with b and c drawn for each image.

    b is uniform in ``-brightness ... brightness``, c in ``-contrast ... contrast``; mean is the
    image's. The numbers come from torch's global generator. Nothing is clipped: the images are
    standardised, not bytes.

    Args:
        images: Shape ``(B, C, H, W)``, floating point.
        brightness: In units of the images: standard deviations where they are standardised.
        contrast: In ``[0, 1]``.
    Returns:
        Tensor like ``images``.
    """
    # CPU draws: the same numbers on every device.
    shift_2B = (2 * torch.rand(2, len(images)) - 1).to(images.device, images.dtype)
    b_B111 = brightness * shift_2B[0, :, None, None, None]
    c_B111 = contrast * shift_2B[1, :, None, None, None]
    mean_B111 = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean_B111) * (1 + c_B111) + mean_B111 + b_B111


class BrightnessContrast:
    """`brightness_contrast` with fixed settings, to be called on batches.

    Args:
        brightness: Largest change, in units of the images; 0 or more.
        contrast: Largest relative change, in ``[0, 1]``.
    Raises:
        InvalidValueError: a value out of range.
    """

    def __init__(self, brightness: float = 0.4, contrast: float = 0.4):
        if brightness < 0 or not 0 <= contrast <= 1:
            raise InvalidValueError(
                f"brightness_contrast: brightness = {brightness}, contrast = {contrast};"
                " brightness must be 0 or more and contrast in [0, 1]"
            )
        self.brightness = brightness
        self.contrast = contrast

    def __call__(self, images: Tensor) -> Tensor:
        """See `brightness_contrast`."""
        return brightness_contrast(images, self.brightness, self.contrast)

    def __repr__(self) -> str:
        return f"BrightnessContrast(brightness={self.brightness}, contrast={self.contrast})"
