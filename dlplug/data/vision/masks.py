"""Images with masks: which belong together, and what they hold."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dlplug.data.quarantine import LeaveOut, refuse
from dlplug.data.vision.pixels import fitted, image_files, image_pixels, open_image
from dlplug.errors import DataError
from dlplug.nn.absent import IGNORED


def find_pairs(images: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Images and masks of the same path but for the ending, sorted.

    Raises:
        DataError: names a file without its partner, or two of the same name.
    """
    by_stem = [_by_stem(folder) for folder in (images, masks)]
    for found, others, folder in ((*by_stem, masks), (*reversed(by_stem), images)):
        lonely = next((path for stem, path in found.items() if stem not in others), None)
        if lonely is not None:
            raise DataError(f"{lonely} has no partner in {folder}")
    if not by_stem[0]:
        raise DataError(f"{images}: there are no images")
    return [(path, by_stem[1][stem]) for stem, path in by_stem[0].items()]


def read_pair(
    image_path: Path,
    mask_path: Path,
    values: Sequence[int],
    ignore: int | None,
    size: tuple[int, int],
    fit: str,
    greyscale: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels ``(C, H, W)`` uint8 and classes ``(H, W)`` int64, -100 where there is none.

    Raises:
        DataError: names a file that cannot be read, is of another size, or holds another value.
    """
    image, mask = open_image(image_path), open_image(mask_path)
    if image.size != mask.size:
        raise DataError(
            f"{image_path} has {image.height} x {image.width} pixels, its mask {mask_path}"
            f" {mask.height} x {mask.width}"
        )
    found = mask_values(fitted(mask, size, fit, is_mask=True), mask_path)
    classes = np.full(found.shape, -1, np.int64)
    for label, value in enumerate(values):
        classes[found == value] = label
    if ignore is not None:
        classes[found == ignore] = IGNORED
    if (classes == -1).any():
        raise DataError(
            f"{mask_path} holds the value {found[classes == -1][0]}, which is no class",
            known=", ".join(map(str, values)),
            fix="name it in data.classes, or set data.ignore",
        )
    return image_pixels(image, str(image_path), size, fit, greyscale), classes


def mask_values(mask, path: Path) -> np.ndarray:
    """The values of a mask ``(H, W)``; of a palette its indices.

    Raises:
        DataError: the image has several channels.
    """
    values = np.asarray(mask)
    if values.ndim != 2:
        raise DataError(
            f"{path} has the mode {mask.mode}, a mask needs one channel",
            fix="save it as greyscale or with a palette, one value for each class",
        )
    return values.astype(np.int64)


def found_values(
    pairs: Sequence[tuple[Path, Path]], ignore: int | None, leave_out: LeaveOut = refuse
) -> list[int]:
    """All values that occur in the masks, sorted, but for ``ignore``.

    Args:
        pairs: Image and mask.
        ignore: A value that is no class, or None.
        leave_out: Told of the masks that cannot be read.
    Raises:
        DataError: there are more than 256.
    """
    values = set()
    for position, (_, path) in enumerate(pairs):
        try:
            values |= set(np.unique(mask_values(open_image(path), path)).tolist())
        except DataError as error:
            leave_out(position, error)
        if len(values) > 256:
            raise DataError(f"{path}: the masks hold more than 256 values", fix="set data.classes")
    return sorted(values - {ignore})


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in image_files(folder):
        stem = str(path.relative_to(folder).with_suffix(""))
        if stem in found:
            raise DataError(f"{found[stem]} and {path} have the same name")
        found[stem] = path
    return found
