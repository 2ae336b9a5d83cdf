"""A folder of images, one sub-folder for each class."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from dlplug.data.division import WAYS
from dlplug.data.path_keys import check_pattern, file_keys
from dlplug.data.paths import resolve_path
from dlplug.data.spec import DataSpec
from dlplug.data.split import SPLIT_NAMES, SPLITS
from dlplug.data.split_data import SplitData
from dlplug.data.vision.image_records import ImageInputs, ImageRecords, channel_statistics
from dlplug.data.vision.pixels import (
    check_fit,
    image_files,
    images_at,
    is_image_file,
    read_pixels,
    sides,
)
from dlplug.errors import DataError, InvalidValueError, suggestion


class ImageFolder(SplitData):
    """Images ``(B, C, H, W)`` float32, standardised; the class is the name of their folder.

    ``path/CLASS/**/*.png`` (or jpg, ...), divided so that each class has the same shares in all
    splits; or ``path/train/CLASS/...`` with ``path/val`` and ``path/test`` beside it. Of the
    latter two, one that is missing is taken from the training images by its fraction, and one that
    is there takes no fraction. Images are read when they are needed, by the ``num_workers``
    processes; a broken one is an error that names it. Mean and standard deviation come from up to
    2,000 training images and are saved with the run. ``split_by`` is a regular expression with one
    group, searched in an image's path below ``path``: ``'patient([0-9]+)'``.

    Args:
        path: Folder, or ``package:NAME/inner/path``.
        image_size: Height and width of a batch in pixels; one number when they are equal.
        fit: How an image comes to that size: ``crop``, the largest central part of the right
            proportions; ``stretch``, all of it.
        greyscale: One channel instead of three.
        cache_mb: Decoded images that each reading process may keep in memory, in MiB; 0 for none.
        loading: Arguments of `SplitData`, such as ``batch_size`` and ``num_workers``.
    Raises:
        InvalidValueError: a value out of range.
    """

    split_keys = dict.fromkeys(WAYS, "a regular expression with one group for the images' paths")
    learns = ("mean", "std")

    def __init__(
        self,
        path: str,
        image_size: int | tuple[int, int] = 64,
        fit: str = "crop",
        greyscale: bool = False,
        cache_mb: float = 0.0,
        **loading,
    ):
        super().__init__(**loading)
        check_fit(fit, "image_folder")
        check_pattern(self.division.key)
        if cache_mb < 0:
            raise InvalidValueError(f"data image_folder: cache_mb = {cache_mb} is below 0")
        self.path = path
        self.size = sides(image_size, "image_folder")
        self.fit = fit
        self.greyscale = greyscale
        self.cache_bytes = int(cache_mb * 2**20)
        self.read = partial(read_pixels, size=self.size, fit=fit, greyscale=greyscale)
        self._spec: DataSpec | None = None

    @property
    def data_spec(self) -> DataSpec | None:
        """Channels, size and classes, once the folder has been read."""
        return self._spec or self.adopted

    def stated(self) -> dict[str, Any]:
        """See `SplitData.stated`."""
        return {"in_channels": 1 if self.greyscale else 3, "image_size": self.size}

    def prepared_by(self) -> dict[str, Any]:
        """See `SplitData.prepared_by`."""
        return {"fit": self.fit}

    def load(self) -> Mapping[str, Dataset]:
        """List the files, divide them, learn mean and deviation of the training images.

        Raises:
            DataError: there are no classes or images, or other classes than in the training.
        """
        root = resolve_path(self.path)
        folders = {split: split_folder(root, split) for split in SPLITS}
        names = class_names(folders["train"] or root)
        if self.adopted is not None and list(self.adopted.class_names) != names:
            raise DataError(
                f"data image_folder: {root} has the classes {', '.join(names)}, the training had"
                f" {', '.join(self.adopted.class_names)}"
            )
        files = self._divided(root, folders if folders["train"] else {"train": root}, names)
        if not files["train"]:
            raise DataError(f"{folders['train'] or root} leaves no training images")
        self._publish(names, [path for path, _ in files["train"]])
        return {split: self._records(files[split]) for split in SPLITS}

    def read_input(self, path: Path) -> ImageInputs:
        """One image file, or all in a folder, sorted by their path.

        Raises:
            DataError: there is none, or nothing has been learned yet.
        """
        return ImageInputs(images_at(Path(path)), self.read, *self._statistics())

    def _publish(self, names: Sequence[str], paths: Sequence[Path]) -> None:
        if self.adopted is not None:
            self._spec = self.adopted
            return
        mean, std = channel_statistics(paths, self.read, self.leave_out_of_train)
        channels = 1 if self.greyscale else 3
        self._spec = DataSpec(
            in_channels=channels,
            image_size=self.size,
            num_features=channels * self.size[0] * self.size[1],
            num_classes=len(names),
            class_names=tuple(names),
            preparation=self.preparation(mean=mean, std=std),
        )

    def _statistics(self) -> tuple[Sequence[float], Sequence[float]]:
        learned = self.data_spec and self.data_spec.preparation
        if not learned:
            raise DataError("data image_folder: mean and deviation are not known yet")
        return learned["mean"], learned["std"]

    def _records(self, files: Sequence[tuple[Path, int]]) -> ImageRecords:
        paths = [path for path, _ in files]
        labels = torch.tensor([label for _, label in files], dtype=torch.int64)
        return ImageRecords(paths, labels, self.read, *self._statistics(), self.cache_bytes)

    def _divided(
        self, root: Path, folders: Mapping[str, Path | None], names: Sequence[str]
    ) -> dict[str, list[tuple[Path, int]]]:
        given = {
            split: labelled_files(folder, names)
            for split, folder in folders.items()
            if folder is not None
        }
        keys = {
            split: file_keys(self.division.key, [path for path, _ in files], root)
            for split, files in given.items()
        }
        files, of_train = given.pop("train"), keys.pop("train")
        labels = torch.tensor([label for _, label in files])
        rows = self.division.rows(len(files), of_train, labels, apart=keys)
        return {split: [files[row] for row in r.tolist()] for split, r in rows.items()} | given


def split_folder(root: Path, split: str) -> Path | None:
    """The folder of a split, or None."""
    found = [root / name for name in SPLIT_NAMES[split] if (root / name).is_dir()]
    # A class may be called "test": a folder of images alone is no split.
    return next((path for path in found if any(map(Path.is_dir, path.iterdir()))), None)


def class_names(root: Path) -> list[str]:
    """Names of the sub-folders in order, hidden ones left out.

    Raises:
        DataError: there are fewer than two.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder", known="a folder with one folder for each class")
    names = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(names) < 2:
        raise DataError(
            f"{root} has {len(names)} folder{'s' * (len(names) != 1)}, one for each class is needed"
        )
    return names


def labelled_files(root: Path, names: Sequence[str]) -> list[tuple[Path, int]]:
    """All images below the classes' folders, each with its class.

    Raises:
        DataError: a class has no images, or there is a folder of none of the classes.
    """
    for name in class_names(root):
        if name not in names:
            raise DataError(
                f"{root / name} is the folder of no class",
                known=", ".join(names),
                fix=suggestion(name, names),
            )
    stray = next((path for path in sorted(root.iterdir()) if is_image_file(path)), None)
    if stray is not None:
        raise DataError(f"{stray} stands in no class's folder")
    files = []
    for label, name in enumerate(names):
        found = image_files(root / name) if (root / name).is_dir() else []
        if not found:
            raise DataError(f"{root / name} holds no images")
        files += [(path, label) for path in found]
    return files
