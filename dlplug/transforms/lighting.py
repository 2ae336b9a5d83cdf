"""Change the light of each image along the colours that vary most."""

import torch
from torch import Tensor

from dlplug.errors import InvalidValueError


def lighting(images: Tensor, strength: float) -> Tensor:
    """y = x + sum_k a_k sqrt(l_k) v_k for every pixel, a_k ~ Normal(0, strength) for each image.

    l and v are eigenvalues and eigenvectors of the covariance of the pixels' channels. AlexNet
    computes it over the training set; here it is the batch's, which needs no second pass over the
    data and follows its standardisation. The numbers come from torch's global generator.

    Args:
        images: Shape ``(B, C, H, W)``, floating point.
        strength: Standard deviation of the draws; the paper's is 0.1.
    Returns:
        Tensor like ``images``.
    References: Krizhevsky, Sutskever, Hinton 2012, section 4.1. The paper writes l where this takes
        its square root, which is in units of the images.
    """
    # CPU draws: the same numbers on every device.
    draw_BC = torch.randn(images.shape[:2]).to(images.device, torch.float32) * strength
    pixels_NC = images.float().transpose(0, 1).flatten(1).T
    covariance_CC = torch.cov(pixels_NC.T).reshape(images.shape[1], -1)
    values_C, vectors_CC = torch.linalg.eigh(covariance_CC)
    # Rounding can leave an eigenvalue of 0 slightly below it.
    step_BC = (draw_BC * values_C.clamp_min(0).sqrt()) @ vectors_CC.T
    return images + step_BC[:, :, None, None].to(images.dtype)


class Lighting:
    """`lighting` with a fixed strength, to be called on batches.

    Args:
        strength: Standard deviation of the draws; 0 or more.
    Raises:
        InvalidValueError: ``strength`` is below 0.
    """

    def __init__(self, strength: float = 0.1):
        if strength < 0:
            raise InvalidValueError(f"lighting: strength = {strength} is below 0")
        self.strength = strength

    def __call__(self, images: Tensor) -> Tensor:
        """See `lighting`."""
        return lighting(images, self.strength)

    def __repr__(self) -> str:
        return f"Lighting(strength={self.strength})"
