"""Cut a random window out of each image of a batch, as large as the image, after padding it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dlplug.errors import InvalidValueError
from dlplug.nn.absent import IGNORED

PADDINGS = ("constant", "reflect", "replicate")


def random_crop(images: Tensor, padding: int, offset_B2: Tensor, mode="constant", fill=0.0):
    """Windows of the padded images, each at its own offset.

    Args:
        images: Shape ``(B, C, H, W)``, any dtype.
        padding: Pixels added on each side; >= 0.
        offset_B2: Row and column of each window in the padded image, ``0 ... 2 * padding``.
        mode: What is outside: ``constant``, ``reflect`` or ``replicate``.
        fill: Value of the outside when it is constant.
    Returns:
        Tensor like ``images``.
    """
    height, width = images.shape[-2:]
    value = {"value": fill} if mode == "constant" else {}
    padded = F.pad(images, (padding,) * 4, mode=mode, **value)
    row_BH = offset_B2[:, 0, None] + torch.arange(height, device=images.device)
    col_BW = offset_B2[:, 1, None] + torch.arange(width, device=images.device)
    image = torch.arange(len(images), device=images.device)[:, None, None]
    # The channels stand between two indexed axes, so they come last.
    return padded[image, :, row_BH[:, :, None], col_BW[:, None, :]].permute(0, 3, 1, 2)


class RandomCrop:
    """Pad each image and cut a window of its size at a random place; masks move along.

    Targets of the shape ``(B, H, W)`` are masks: they get the same window, and -100 outside.
    Different from `random_shift` in what the outside is made of. The offsets come from torch's
    global generator.

    Args:
        padding: Pixels added on each side; below the image's size for ``reflect``.
        mode: What is outside: ``constant``, ``reflect`` or ``replicate``.
        fill: Value of the outside when it is constant; 0 is the mean of standardised images.
    Raises:
        InvalidValueError: a value out of range.
    """

    takes_targets = True

    def __init__(self, padding: int = 4, mode: str = "constant", fill: float = 0.0):
        if padding < 0 or mode not in PADDINGS:
            raise InvalidValueError(
                f"random_crop: padding = {padding}, mode = {mode!r}",
                known=f"padding: 0 or more pixels; mode: {', '.join(PADDINGS)}",
            )
        self.padding = padding
        self.mode = mode
        self.fill = fill

    def __call__(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Windows of the images, and the targets."""
        if self.padding == 0:
            return images, targets
        # CPU offsets: the same numbers on every device, and no synchronisation to read them.
        offset_B2 = torch.randint(0, 2 * self.padding + 1, (len(images), 2)).to(images.device)
        if targets.ndim == 3:
            masks = random_crop(targets[:, None], self.padding, offset_B2, fill=IGNORED)
            targets = masks[:, 0]
        return random_crop(images, self.padding, offset_B2, self.mode, self.fill), targets

    def __repr__(self) -> str:
        return f"RandomCrop(padding={self.padding}, mode={self.mode!r}, fill={self.fill})"
