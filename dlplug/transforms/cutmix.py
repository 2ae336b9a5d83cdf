"""Put a rectangle of another image of the batch into each."""

import torch
from torch import Tensor

from dlplug.errors import InvalidValueError
from dlplug.transforms.boxes import box_mask
from dlplug.transforms.mixed import Mixed
from dlplug.transforms.mixup import check_mixture, check_targets, draw_share


class CutMix:
    """A box of image j stands in image i; the loss counts both by their share of the pixels.

    The box covers 1 - s of the image, s ~ Beta(alpha, alpha), and has its proportions; what lies
    beyond the border is cut off and the share corrected. One box for each batch and a random
    partner j for each image i, as in the authors' code; both come from torch's global generator.
    Targets of the shape ``(B, H, W)`` are masks: the box of the partner's mask is put in instead.

    Args:
        alpha: Above 0; 1 makes every size equally likely.
        probability: Share of the batches that are mixed.
    Raises:
        InvalidValueError: a value out of range; when called, something else than images, or
            targets for each position.
    References: Yun et al. 2019, arXiv:1905.04899, section 3.1.
    """

    takes_targets = True

    def __init__(self, alpha: float = 1.0, probability: float = 1.0):
        check_mixture("cutmix", alpha, probability)
        self.alpha = alpha
        self.probability = probability

    def __call__(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | Mixed]:
        """Images with boxes, and the targets; as they were for a batch that is left alone."""
        if not isinstance(images, Tensor) or images.ndim != 4:
            raise InvalidValueError(
                "cutmix: the inputs are no images (B, C, H, W)",
                fix="use mixup, or take cutmix out of data.transforms",
            )
        check_targets("cutmix", targets)
        if float(torch.rand(())) >= self.probability:
            return images, targets
        height, width = images.shape[-2:]
        side = (1 - draw_share(self.alpha)) ** 0.5
        size_12 = torch.tensor([[round(height * side), round(width * side)]])
        centre_12 = torch.tensor([[int(torch.randint(n, ())) for n in (height, width)]])
        partner = torch.randperm(len(images)).to(images.device)
        # On the CPU first, where its size can be read without waiting for the device.
        box_11HW = box_mask(centre_12, size_12, height, width, torch.device("cpu"))
        share = 1 - int(box_11HW.sum()) / (height * width)
        box_11HW = box_11HW.to(images.device)
        mixture = torch.where(box_11HW, images[partner], images)
        if targets.ndim == 3:
            return mixture, torch.where(box_11HW[:, 0], targets[partner], targets)
        return mixture, Mixed(targets, targets[partner], share)

    def __repr__(self) -> str:
        return f"CutMix(alpha={self.alpha}, probability={self.probability})"
