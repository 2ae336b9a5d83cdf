"""Data sets of image files, read when they are needed."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from dlplug.data.quarantine import LeaveOut, refuse
from dlplug.data.vision.pixels import file_size
from dlplug.errors import DataError

# Images that mean and standard deviation are computed from, at most: more change the fourth digit.
STATISTICS = 2000


class ImageInputs(Dataset):
    """Standardised images ``(B, C, H, W)`` float32.

    Args:
        paths: Of the files, or whatever ``read`` takes.
        read: Gives the pixels of one, ``(C, H, W)`` uint8.
        mean: Of each channel, in ``[0, 1]``.
        std: Of each channel.
        cache_bytes: Pixels that may be kept in memory, in bytes; each process that reads has a
            memory of its own. What comes after it is full is read from disk every time.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        read: Callable[[Path], np.ndarray],
        mean: Sequence[float],
        std: Sequence[float],
        cache_bytes: int = 0,
    ):
        self.paths = list(paths)
        self.read = read
        self.mean_C11 = torch.tensor(mean).view(-1, 1, 1)
        self.std_C11 = torch.tensor(std).view(-1, 1, 1)
        self.free_bytes = cache_bytes
        self._kept: dict[int, np.ndarray] = {}

    @property
    def names(self) -> list[str]:
        """What each image is called: its file."""
        return [str(path) for path in self.paths]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitems__(self, positions: Sequence[int]) -> Tensor:
        """A batch of inputs."""
        pixels = torch.from_numpy(np.stack([self._pixels(int(p)) for p in positions]))
        return (pixels.float() / 255 - self.mean_C11) / self.std_C11

    def _pixels(self, position: int) -> np.ndarray:
        pixels = self._kept.get(position)
        if pixels is None:
            pixels = self.read(self.paths[position])
            # No eviction: when every epoch reads every image once, what is thrown out and what is
            # kept are equally likely to be next.
            if pixels.nbytes <= self.free_bytes:
                self._kept[position] = pixels
                self.free_bytes -= pixels.nbytes
        return pixels


class ImageRecords(ImageInputs):
    """Standardised images with a class each; arguments as for `ImageInputs`.

    Args:
        labels: Class of each file, shape ``(N,)`` int64.
    """

    def __init__(self, paths: Sequence[Path], labels: Tensor, *arguments, **further):
        super().__init__(paths, *arguments, **further)
        self.labels = labels

    def __getitems__(self, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """A batch of inputs and classes."""
        return super().__getitems__(positions), self.labels[torch.as_tensor(positions)]

    def digest(self) -> str:
        """SHA-256 of the names, sizes in bytes and classes of all files, in order.

        Not of their content, which would be read twice for that.
        """
        rows = (
            f"{path.parent.name}/{path.name} {file_size(path)} {label}"
            for path, label in zip(self.paths, self.labels.tolist(), strict=True)
        )
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def channel_statistics(
    paths: Sequence[Path],
    read: Callable[[Path], np.ndarray],
    leave_out: LeaveOut = refuse,
) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel in [0, 1], of up to `STATISTICS` files.

    They are taken evenly from all. A channel without any variation has the deviation 1.

    Args:
        paths: Of the files, or whatever ``read`` takes.
        read: Gives the pixels of one, ``(C, H, W)`` uint8.
        leave_out: Told of those that cannot be read.
    Raises:
        DataError: there are no files, or none that can be read.
    """
    # Sums of whole numbers below 2**53 are exact in float64.
    count, total, squares = 0, 0.0, 0.0
    for position in range(0, len(paths), -(-len(paths) // STATISTICS) or 1):
        try:
            pixels = read(paths[position]).astype(np.float64)
        except DataError as error:
            leave_out(position, error)
            continue
        count += pixels[0].size
        total = total + pixels.sum(axis=(1, 2))
        squares = squares + np.square(pixels).sum(axis=(1, 2))
    if not count:
        raise DataError("there are no training images to take mean and deviation of")
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - np.square(mean), 0)) / 255
    return (mean / 255).tolist(), np.where(std > 0, std, 1.0).tolist()
