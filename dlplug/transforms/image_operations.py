"""Operations of RandAugment on batches: each image at its own level.

All take images ``(B, C, H, W)`` of any range and levels ``(B,)`` in -1 ... 1, where 0 changes
nothing and 1 is as strong as in Cubuk et al. 2019, arXiv:1909.13719, table 6 (that is,
AutoAugment's). What works on bytes there works here on each image's own range from its darkest to
its brightest value. "Equalize" is left out: it needs a histogram of each image.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

MOST_DEGREES = 30.0
MOST_SHEAR = 0.3
# 150 of 331 pixels.
MOST_SHIFT = 0.45
MOST_CHANGE = 0.9
MOST_BITS = 4
# Weights of red, green and blue in what the eye sees as brightness (ITU-R 601-2).
LUMA = (0.299, 0.587, 0.114)


def affine(images: Tensor, matrix_B23: Tensor) -> Tensor:
    """Each image where its matrix takes it, with 0 outside; coordinates are -1 ... 1."""
    grid = F.affine_grid(matrix_B23.to(images.dtype), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)


def matrices(level_B: Tensor, **entries: Tensor) -> Tensor:
    """Identities ``(B, 2, 3)`` with other entries: ``m01=...`` is row 0, column 1."""
    matrix_B23 = torch.eye(2, 3, device=level_B.device).repeat(len(level_B), 1, 1)
    for name, value_B in entries.items():
        matrix_B23[:, int(name[1]), int(name[2])] = value_B
    return matrix_B23


def rotate(images: Tensor, level_B: Tensor) -> Tensor:
    """Turn by up to 30 degrees."""
    angle_B = torch.deg2rad(level_B * MOST_DEGREES)
    height, width = images.shape[-2:]
    cos_B, sin_B = angle_B.cos(), angle_B.sin()
    # Coordinates are relative to the sides: without the quotient a wide image would be sheared.
    return affine(
        images,
        matrices(
            level_B,
            m00=cos_B,
            m01=-sin_B * height / width,
            m10=sin_B * width / height,
            m11=cos_B,
        ),
    )


def shear_x(images: Tensor, level_B: Tensor) -> Tensor:
    """Move rows sideways, by up to 0.3 of their distance from the middle."""
    height, width = images.shape[-2:]
    return affine(images, matrices(level_B, m01=level_B * MOST_SHEAR * height / width))


def shear_y(images: Tensor, level_B: Tensor) -> Tensor:
    """Move columns up or down, by up to 0.3 of their distance from the middle."""
    height, width = images.shape[-2:]
    return affine(images, matrices(level_B, m10=level_B * MOST_SHEAR * width / height))


def translate_x(images: Tensor, level_B: Tensor) -> Tensor:
    """Move sideways by up to 0.45 of the width."""
    return affine(images, matrices(level_B, m02=level_B * 2 * MOST_SHIFT))


def translate_y(images: Tensor, level_B: Tensor) -> Tensor:
    """Move up or down by up to 0.45 of the height."""
    return affine(images, matrices(level_B, m12=level_B * 2 * MOST_SHIFT))


def blend(images: Tensor, plain: Tensor, level_B: Tensor) -> Tensor:
    """plain + (1 + 0.9 level) (images - plain): away from ``plain``, or towards it."""
    factor_B111 = (1 + MOST_CHANGE * level_B)[:, None, None, None].to(images.dtype)
    return plain + factor_B111 * (images - plain)


def brightness(images: Tensor, level_B: Tensor) -> Tensor:
    """Blend with the image's darkest value."""
    return blend(images, images.amin(dim=(1, 2, 3), keepdim=True), level_B)


def contrast(images: Tensor, level_B: Tensor) -> Tensor:
    """Blend with the image's mean."""
    return blend(images, images.mean(dim=(1, 2, 3), keepdim=True), level_B)


def color(images: Tensor, level_B: Tensor) -> Tensor:
    """Blend with the grey image; nothing to do unless there are three channels."""
    if images.shape[1] != 3:
        return images
    luma_C11 = torch.tensor(LUMA, device=images.device, dtype=images.dtype).view(3, 1, 1)
    return blend(images, (images * luma_C11).sum(dim=1, keepdim=True), level_B)


def sharpness(images: Tensor, level_B: Tensor) -> Tensor:
    """Blend with the image smoothed by PIL's 3 x 3 filter, which leaves the border alone."""
    if min(images.shape[-2:]) < 3:
        return images
    kernel = torch.ones(3, 3, device=images.device, dtype=images.dtype)
    kernel[1, 1] = 5
    channels = images.shape[1]
    smooth = images.clone()
    weight = (kernel / kernel.sum()).expand(channels, 1, 3, 3)
    smooth[:, :, 1:-1, 1:-1] = F.conv2d(images, weight, groups=channels)
    return blend(images, smooth, level_B)


def own_range(images: Tensor) -> tuple[Tensor, Tensor]:
    """Each image's darkest value, and how far it is to its brightest: ``(B, 1, 1, 1)`` each."""
    low_B111 = images.amin(dim=(1, 2, 3), keepdim=True)
    return low_B111, (images.amax(dim=(1, 2, 3), keepdim=True) - low_B111).clamp_min(1e-12)


def in_own_range(images: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """``change`` of the images scaled to 0 ... 1 each, scaled back."""
    low_B111, span_B111 = own_range(images)
    return change((images - low_B111) / span_B111) * span_B111 + low_B111


def solarize(images: Tensor, level_B: Tensor) -> Tensor:
    """Invert what is brighter than a threshold that falls as the level rises, sign apart."""
    threshold_B111 = (1 - level_B.abs())[:, None, None, None].to(images.dtype)
    return in_own_range(images, lambda x: torch.where(x > threshold_B111, 1 - x, x))


def posterize(images: Tensor, level_B: Tensor) -> Tensor:
    """Leave 8 bits of a value, down to 4 as the level rises, sign apart; none at level 0."""
    bits_B = 8 - (level_B.abs() * MOST_BITS).round()
    steps_B111 = (2.0**bits_B)[:, None, None, None].to(images.dtype)
    is_cut = (bits_B < 8)[:, None, None, None]

    def cut(x: Tensor) -> Tensor:
        # The highest value belongs to the last step, not to one above it.
        floor = (x * steps_B111).floor().minimum(steps_B111 - 1)
        return torch.where(is_cut, floor / (steps_B111 - 1), x)

    return in_own_range(images, cut)


def auto_contrast(images: Tensor, level_B: Tensor) -> Tensor:
    """Stretch each channel to the range of its whole image, whatever the level."""
    low_BC11 = images.amin(dim=(2, 3), keepdim=True)
    high_BC11 = images.amax(dim=(2, 3), keepdim=True)
    low, high = low_BC11.amin(dim=1, keepdim=True), high_BC11.amax(dim=1, keepdim=True)
    span_BC11 = high_BC11 - low_BC11
    stretched = (images - low_BC11) / span_BC11.clamp_min(1e-12) * (high - low) + low
    # A channel of one value has nothing to stretch.
    return torch.where(span_BC11 > 0, stretched, images)


def identity(images: Tensor, level_B: Tensor) -> Tensor:
    """The images as they are."""
    return images


OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    operation.__name__: operation
    for operation in (
        identity,
        auto_contrast,
        rotate,
        solarize,
        color,
        posterize,
        contrast,
        brightness,
        sharpness,
        shear_x,
        shear_y,
        translate_x,
        translate_y,
    )
}
