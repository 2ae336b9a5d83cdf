"""A few random operations on each image of a batch, all equally strong."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dlplug.errors import InvalidValueError, suggestion
from dlplug.transforms.image_operations import OPERATIONS


class RandAugment:
    """``num_operations`` of `dlplug.transforms.image_operations`, drawn for each image.

    Operations, directions and nothing else are random; they come from torch's global generator.
    The images of one operation are changed together.

    Args:
        num_operations: Of each image, one after the other (the paper's N).
        magnitude: Of each operation, ``0 ... 10`` (the paper's M).
        operations: Names to draw from; None for all.
        fill: Value of what comes in from outside; 0 is the mean of standardised images.
    Raises:
        InvalidValueError: a value out of range, or no such operation.
    References: Cubuk et al. 2019, arXiv:1909.13719, figure 2.
    """

    def __init__(
        self,
        num_operations: int = 2,
        magnitude: float = 5.0,
        operations: Sequence[str] | None = None,
        fill: float = 0.0,
    ):
        if num_operations < 1 or not 0 <= magnitude <= 10:
            raise InvalidValueError(
                f"rand_augment: num_operations = {num_operations}, magnitude = {magnitude};"
                " num_operations must be 1 or more and magnitude in [0, 10]"
            )
        names = list(OPERATIONS) if operations is None else list(operations)
        unknown = next((name for name in names if name not in OPERATIONS), None)
        if unknown is not None or not names:
            raise InvalidValueError(
                f"rand_augment: operations = {names}" + (f": no {unknown!r}" if unknown else ""),
                known=", ".join(OPERATIONS),
                fix=suggestion(unknown, OPERATIONS) if unknown else None,
            )
        self.num_operations = num_operations
        self.magnitude = magnitude
        self.operations = names
        self.fill = fill

    def __call__(self, images: Tensor) -> Tensor:
        """Images like ``images``, floating point ``(B, C, H, W)``."""
        for _ in range(self.num_operations):
            # CPU draws: the same numbers on every device.
            which_B = torch.randint(len(self.operations), (len(images),))
            sign_B = torch.randint(0, 2, (len(images),)) * 2.0 - 1
            images = self._changed(images, which_B, sign_B * self.magnitude / 10)
        return images

    def _changed(self, images: Tensor, which_B: Tensor, level_B: Tensor) -> Tensor:
        changed = images.clone()
        for number, name in enumerate(self.operations):
            rows = torch.nonzero(which_B == number).squeeze(1)
            if len(rows):
                level = level_B[rows].to(images.device)
                rows = rows.to(images.device)
                # The operations fill with 0.
                changed[rows] = OPERATIONS[name](images[rows] - self.fill, level) + self.fill
        return changed

    def __repr__(self) -> str:
        return f"RandAugment({self.num_operations}, {self.magnitude}, {self.operations})"
