"""Mirror some images of a batch."""

import torch
from torch import Tensor

from dlplug.errors import InvalidValueError


class RandomFlip:
    """Mirror each image with a probability; masks are mirrored along.

    Targets of the shape ``(B, H, W)`` are masks. Which images are mirrored comes from torch's
    global generator. Do not use it where left and right differ in meaning, as in digits.

    Args:
        horizontal: Probability of exchanging left and right.
        vertical: Probability of exchanging top and bottom.
    Raises:
        InvalidValueError: a probability out of range.
    """

    takes_targets = True

    def __init__(self, horizontal: float = 0.5, vertical: float = 0.0):
        if not (0 <= horizontal <= 1 and 0 <= vertical <= 1):
            raise InvalidValueError(
                f"random_flip: horizontal = {horizontal}, vertical = {vertical};"
                " both must be in [0, 1]"
            )
        self.horizontal = horizontal
        self.vertical = vertical

    def __call__(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Images and targets, some of them mirrored."""
        for axis, probability in ((-1, self.horizontal), (-2, self.vertical)):
            if probability == 0:
                continue
            chosen = (torch.rand(len(images)) < probability).to(images.device)
            images = torch.where(chosen[:, None, None, None], images.flip(axis), images)
            if targets.ndim == 3:
                targets = torch.where(chosen[:, None, None], targets.flip(axis), targets)
        return images, targets

    def __repr__(self) -> str:
        return f"RandomFlip(horizontal={self.horizontal}, vertical={self.vertical})"
