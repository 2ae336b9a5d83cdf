"""Raw image arrays from outside as batches."""

import numpy as np
import torch
from torch import Tensor

from dlplug.errors import DataError


def image_input(array: np.ndarray, channels: int, size: int, name: str) -> Tensor:
    """Images or rows of pixels, one or many, as ``(B, channels, size, size)`` float32.

    Args:
        array: Shape ``(C, S, S)``, ``(C * S * S,)`` or either with a batch axis in front; the
            channel axis may be left out when there is one channel.
        channels: C.
        size: S, in pixels.
        name: Of the data, for the message.
    Raises:
        DataError: another shape, or not numbers.
    """
    array = np.asarray(array)
    known = [(channels, size, size), (channels * size * size,)]
    if channels == 1:
        known.insert(0, (size, size))
    if array.dtype.kind not in "biuf":
        raise DataError(f"data {name}: an array of type {array.dtype} holds no pixels")
    if not any(shape in (array.shape, array.shape[1:]) for shape in known):
        raise DataError(
            f"data {name}: an input of shape {array.shape} is no image of this data",
            known=", ".join(f"{shape} or (number of images, {str(shape)[1:]}" for shape in known),
        )
    return torch.from_numpy(array.astype(np.float32)).reshape(-1, channels, size, size)
