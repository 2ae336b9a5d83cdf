"""A folder of images and a folder of their masks."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from dlplug.data.division import WAYS
from dlplug.data.path_keys import check_pattern, file_keys
from dlplug.data.paths import resolve_path
from dlplug.data.spec import ARGUMENTS, DataSpec
from dlplug.data.split import SPLITS
from dlplug.data.split_data import SplitData
from dlplug.data.vision.image_records import ImageInputs, channel_statistics
from dlplug.data.vision.masks import find_pairs, found_values, read_pair
from dlplug.data.vision.pixels import check_fit, file_size, images_at, read_pixels, sides
from dlplug.errors import DataError, InvalidValueError


class SegmentationPairs(SplitData):
    """Images ``(B, C, H, W)`` float32, standardised; masks ``(B, H, W)`` int64.

    ``images/a.jpg`` belongs to ``masks/a.png``: the same path but for the ending. A mask is an
    image of one channel (or of a palette) of the same size, in which each class has a value of its
    own. The pairs are read when they are needed, by the ``num_workers`` processes; a broken or
    unequal pair is an error that names it. ``split_by`` is a regular expression with one group,
    searched in an image's path below ``images``: ``'patient([0-9]+)'``.

    Args:
        images: Folder, or ``package:NAME/inner/path``.
        masks: Folder, likewise.
        classes: Value of each class in the masks, by name, such as ``{background: 0, horse: 255}``;
            None to take the values that occur, which needs all training masks to be read at first.
        ignore: Value of pixels without a class, which become -100; None if there are none.
        image_size: Height and width of a batch in pixels; one number when they are equal.
        fit: How a pair comes to that size: ``crop``, the largest central part of the right
            proportions; ``stretch``, all of it. Masks take the nearest pixel.
        greyscale: One channel instead of three.
        loading: Arguments of `SplitData`, such as ``batch_size`` and ``num_workers``.
    Raises:
        InvalidValueError: a value out of range.
    """

    split_keys = dict.fromkeys(WAYS, "a regular expression with one group for the images' paths")
    sources = ("images", "masks")
    learns = ("mean", "std", "values")

    def __init__(
        self,
        images: str,
        masks: str,
        classes: dict[str, int] | None = None,
        ignore: int | None = None,
        image_size: int | tuple[int, int] = 64,
        fit: str = "crop",
        greyscale: bool = False,
        **loading,
    ):
        super().__init__(**loading)
        check_fit(fit, "segmentation_pairs")
        check_classes(classes, ignore)
        check_pattern(self.division.key)
        self.images = images
        self.masks = masks
        self.classes = classes
        self.ignore = ignore
        self.size = sides(image_size, "segmentation_pairs")
        self.fit = fit
        self.greyscale = greyscale
        self.read = partial(read_pixels, size=self.size, fit=fit, greyscale=greyscale)
        self._spec: DataSpec | None = None

    @property
    def data_spec(self) -> DataSpec | None:
        """Channels, size and classes, once the folders have been read."""
        return self._spec or self.adopted

    def stated(self) -> dict[str, Any]:
        """See `SplitData.stated`."""
        names = {} if self.classes is None else {"class_names": tuple(self.classes)}
        return {"in_channels": 1 if self.greyscale else 3, "image_size": self.size} | names

    def prepared_by(self) -> dict[str, Any]:
        """See `SplitData.prepared_by`."""
        # Without classes, the training's are taken.
        classes = {} if self.classes is None else {"classes": dict(self.classes)}
        return {"ignore": self.ignore, "fit": self.fit} | classes

    def load(self) -> Mapping[str, Dataset]:
        """Find the pairs, divide them, learn mean and deviation of the training images.

        Raises:
            DataError: an image without a mask or the other way round, or there are no pairs.
        """
        folder = resolve_path(self.images)
        pairs = find_pairs(folder, resolve_path(self.masks))
        keys = file_keys(self.division.key, [image for image, _ in pairs], folder)
        rows = self.division.rows(len(pairs), keys)
        parts = {split: [pairs[row] for row in rows[split].tolist()] for split in SPLITS}
        if not parts["train"]:
            raise DataError(f"{len(pairs)} pairs leave none to train on")
        self._publish(parts["train"])
        learned = self._spec.preparation
        return {
            split: PairRecords(
                parts[split],
                partial(
                    read_pair,
                    values=learned["values"],
                    ignore=self.ignore,
                    size=self.size,
                    fit=self.fit,
                    greyscale=self.greyscale,
                ),
                learned["mean"],
                learned["std"],
            )
            for split in SPLITS
        }

    def read_input(self, path: Path) -> ImageInputs:
        """One image file, or all in a folder, sorted by their path.

        Raises:
            DataError: there is none, or nothing has been learned yet.
        """
        files = images_at(Path(path))
        learned = self.data_spec and self.data_spec.preparation
        if not learned:
            raise DataError("data segmentation_pairs: mean and deviation are not known yet")
        return ImageInputs(files, self.read, learned["mean"], learned["std"])

    def _publish(self, pairs: Sequence[tuple[Path, Path]]) -> None:
        if self.adopted is not None:
            self._spec = self.adopted
            return
        leave_out, images = self.leave_out_of_train, [image for image, _ in pairs]
        mean, std = channel_statistics(images, self.read, leave_out)
        values = () if self.classes else found_values(pairs, self.ignore, leave_out)
        classes = self.classes or {str(value): value for value in values}
        learned = self.preparation(mean=mean, std=std, values=list(classes.values()))
        learned[ARGUMENTS]["classes"] = dict(classes)  # those found, too, are compared with later
        channels = 1 if self.greyscale else 3
        self._spec = DataSpec(
            in_channels=channels,
            image_size=self.size,
            num_classes=len(classes),
            class_names=tuple(classes),
            preparation=learned,
        )


class PairRecords(Dataset):
    """Standardised images with a mask each.

    Args:
        pairs: Image and mask.
        read: Gives the pixels ``(C, H, W)`` uint8 and classes ``(H, W)`` int64 of a pair.
        mean: Of each channel, in ``[0, 1]``.
        std: Of each channel.
    """

    def __init__(self, pairs, read, mean: Sequence[float], std: Sequence[float]):
        self.pairs = list(pairs)
        self.read = read
        self.mean_C11 = torch.tensor(mean).view(-1, 1, 1)
        self.std_C11 = torch.tensor(std).view(-1, 1, 1)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitems__(self, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """A batch of images and masks."""
        read = [self.read(*self.pairs[int(position)]) for position in positions]
        pixels, masks = (torch.from_numpy(np.stack(part)) for part in zip(*read, strict=True))
        return (pixels.float() / 255 - self.mean_C11) / self.std_C11, masks

    def digest(self) -> str:
        """SHA-256 of the names and sizes in bytes of all files, in order."""
        files = [path for pair in self.pairs for path in pair]
        rows = "\n".join(f"{path.name} {file_size(path)}" for path in files)
        return hashlib.sha256(rows.encode()).hexdigest()


def check_classes(classes: Mapping[str, int] | None, ignore: int | None) -> None:
    """Each class has a value of its own, and none is the ignored one.

    Raises:
        InvalidValueError: otherwise.
    """
    values = [] if classes is None else list(classes.values())
    if classes is not None and (len(values) < 2 or len({*values, ignore}) != len(values) + 1):
        raise InvalidValueError(
            f"data segmentation_pairs: classes = {dict(classes)}, ignore = {ignore};"
            " two or more classes, each with a value of its own"
        )
