"""Rectangles in a batch of images, as masks of their pixels."""

import torch
from torch import Tensor


def box_mask(
    centre_B2: Tensor, size_B2: Tensor, height: int, width: int, device: torch.device
) -> Tensor:
    """Which pixels lie in each image's box; what of a box lies outside the image is cut off.

    Args:
        centre_B2: Row and column of the pixel in the middle.
        size_B2: Height and width of the box in pixels.
        height, width: Of an image.
        device: Of the result.
    Returns:
        Bool, shape ``(B, 1, height, width)``.
    """
    start_B2 = (centre_B2 - size_B2 // 2).to(device)
    end_B2 = start_B2 + size_B2.to(device)
    row, col = torch.arange(height, device=device), torch.arange(width, device=device)
    in_row_BH = (row >= start_B2[:, :1]) & (row < end_B2[:, :1])
    in_col_BW = (col >= start_B2[:, 1:]) & (col < end_B2[:, 1:])
    return (in_row_BH[:, :, None] & in_col_BW[:, None, :])[:, None]
