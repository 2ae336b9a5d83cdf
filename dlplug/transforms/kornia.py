"""Any random augmentation of images that the library kornia has."""

from typing import Any

import torch
from torch import Tensor

from dlplug.errors import InvalidValueError
from dlplug.nn.absent import IGNORED
from dlplug.transforms.image_operations import own_range
from dlplug.transforms.kornia_augmentations import build, import_augmentations, said


class Kornia:
    """One of kornia's augmentations, by the name of its class, on each image of a batch.

    Those that move pixels move masks, targets of the shape ``(B, H, W)``, along, by the nearest
    pixel and with -100 outside; so does RandomErasing, whose rectangles become -100. Those of light
    and colour are made for images in 0 ... 1, so they see the images scaled to that, and their
    result is scaled back. All numbers come from torch's global generator. ::

        transforms:
          - {name: kornia, augmentation: RandomAffine, arguments: {degrees: 10, p: 0.5}}
          - {name: kornia, augmentation: RandomGaussianBlur,
             arguments: {kernel_size: [3, 3], sigma: [0.1, 2.0]}}

    Args:
        augmentation: Name of a class of ``kornia.augmentation`` that varies single images at
            random: RandomAffine, ColorJitter, ...
        arguments: Of that class, as kornia documents them; lists are taken for tuples.
        fill: Value of what comes in from outside when pixels are moved; 0 is the mean of
            standardised images.
        value_range: The values of the images that are 0 and 1 to an augmentation of light or
            colour; None for the darkest and the brightest value of each image.
    Raises:
        DataError: kornia is not installed.
        InvalidValueError: there is no such augmentation or argument, or a value is out of range;
            when called, something else than images, or images that the augmentation cannot take.
    References: Riba et al. 2020, arXiv:1910.02190.
    """

    takes_targets = True

    def __init__(
        self,
        augmentation: str,
        arguments: dict[str, Any] | None = None,
        fill: float = 0.0,
        value_range: tuple[float, float] | None = None,
    ):
        if value_range is not None and not value_range[0] < value_range[1]:
            raise InvalidValueError(
                f"transform kornia: value_range = {list(value_range)} does not rise"
            )
        module = import_augmentations()
        self.augmentation = augmentation
        self.arguments = dict(arguments or {})
        self.fill = fill
        self.value_range = value_range
        self._augment = build(augmentation, self.arguments, module)
        self._is_intensity = isinstance(self._augment, module.IntensityAugmentationBase2D)
        # Without its own setting, a mask would be sampled half a pixel beside the image.
        setting = {"resample": "nearest", "align_corners": self._augment.flags.get("align_corners")}
        self._augment_both = module.AugmentationSequential(
            self._augment, data_keys=["image", "mask"], extra_args={mask_key(): setting}
        )

    def __call__(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Augmented images like ``images``, and the targets.

        Args:
            images: Shape ``(B, C, H, W)``, floating point.
            targets: Shape ``(B, H, W)`` for masks; others stay as they are.
        """
        if not isinstance(images, Tensor) or images.ndim != 4 or not images.is_floating_point():
            raise InvalidValueError(
                f"transform kornia: {self.augmentation} needs images (B, C, H, W)",
                fix="take kornia out of data.transforms, or use data of images",
            )
        masks = targets if isinstance(targets, Tensor) and targets.ndim == 3 else None
        low, span = self._scale(images)
        try:
            changed, masks = self._apply((images - low) / span, masks)
        except torch.OutOfMemoryError:
            raise
        except NotImplementedError as error:
            raise InvalidValueError(
                f"transform kornia: {self.augmentation} cannot move masks along with the images",
                fix="use another augmentation, such as RandomElasticTransform",
            ) from error
        except Exception as error:  # kornia has exceptions of its own, of several bases
            raise InvalidValueError(
                f"transform kornia: {self.augmentation} cannot take images {tuple(images.shape)}:"
                f" {said(error)}",
                fix="change its arguments, or use another augmentation",
            ) from error
        return changed * span + low, targets if masks is None else masks

    def _scale(self, images: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """What is subtracted from the images before, and what they are divided by."""
        if not self._is_intensity:
            return self.fill, 1.0
        if self.value_range is None:
            return own_range(images)
        low, high = self.value_range
        return low, high - low

    def _apply(self, images: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if masks is None:
            return self._augment(images), None
        # kornia fills masks with 0, which thus means "no class".
        images, moved = self._augment_both(images, masks[:, None] - IGNORED)
        return images, moved[:, 0] + IGNORED

    def __repr__(self) -> str:
        return f"Kornia({self.augmentation!r}, {self.arguments})"


def mask_key():
    """kornia's key of masks."""
    from kornia.constants import DataKey

    return DataKey.MASK
