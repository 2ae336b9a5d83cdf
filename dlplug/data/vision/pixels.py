"""Image files: finding them, reading them, bringing them to one size."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from dlplug.errors import DataError, InvalidValueError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
FITS = ("crop", "stretch")
# Formats that hold 8 or 16 bits a value, of which Pillow gives 16 as the mode of 32 bits: of PNG in
# versions below 11.3.
SIXTEEN_BITS = ("PNG", "PPM", "JPEG2000")
# Of TIFF: how many bits a value has. Pillow gives signed 16 as the mode of 32, too.
BITS_PER_SAMPLE = 258


def sides(image_size: int | Sequence[int], name: str) -> tuple[int, int]:
    """Height and width.

    Raises:
        InvalidValueError: no size.
    """
    pair = (image_size,) * 2 if isinstance(image_size, int) else tuple(image_size)
    if len(pair) != 2 or min(pair) < 1:
        raise InvalidValueError(
            f"data {name}: image_size = {image_size!r}", known="pixels, or [height, width]"
        )
    return pair


def check_fit(fit: str, name: str) -> None:
    """``fit`` is one of `FITS`.

    Raises:
        InvalidValueError: it is not.
    """
    if fit not in FITS:
        raise InvalidValueError(f"data {name}: fit = {fit!r}", known=", ".join(FITS))


def image_files(folder: Path) -> list[Path]:
    """The image files in a folder and in those below it, sorted by their path."""
    return sorted(path for path in folder.rglob("*") if is_image_file(path))


def is_image_file(path: Path) -> bool:
    """Whether the name is that of an image; hidden files are none.

    A link to nothing is one, which cannot be read: images whose disk is missing are missed.
    """
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and not path.is_dir()


def images_at(path: Path) -> list[Path]:
    """One image file, or all in a folder, sorted by their path.

    Raises:
        DataError: there is none.
    """
    files = image_files(path) if path.is_dir() else [path] * path.is_file()
    if not files:
        raise DataError(f"{path}: there are no images")
    return files


def file_size(path: Path) -> int | None:
    """Bytes of a file; None where it cannot be reached, which is told when it is read."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def open_image(path: Path | BinaryIO, name: str | None = None) -> "Image":
    """A decoded image, turned upright as its camera says.

    Args:
        path: Its file, or its content.
        name: For the message; the path unless given.
    Raises:
        DataError: Pillow is not installed, or names a file that cannot be read.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise DataError(
            "images need the package pillow, which is not installed",
            fix="pip install 'dlplug[images]'",
        ) from error
    try:
        with Image.open(path) as image:
            image.load()
            return ImageOps.exif_transpose(with_its_bits(image))
    # Pillow answers a broken file with nearly anything: OSError, SyntaxError, struct.error, ...
    except Exception as error:
        raise DataError(
            f"{name or path} cannot be read as an image: {error}", fix="repair or remove the file"
        ) from error


def with_its_bits(image: "Image") -> "Image":
    """An image as its file has just given it, with 16 bits where the file has so many.

    Signed ones stay as they are, as masks may be, and ``info["bits"]`` tells of them.
    """
    if image.mode == "I" and image.format in SIXTEEN_BITS:
        return image.convert("I;16")
    if image.mode == "I" and getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE) == (16,):
        image.info["bits"] = 16
    return image


def fitted(image: "Image", size: tuple[int, int], fit: str, is_mask: bool = False) -> "Image":
    """The image at another size.

    Args:
        image: Of any size.
        size: Height and width.
        fit: ``crop``, the largest central part of the right proportions; ``stretch``, all of it.
        is_mask: Take the nearest pixel instead of a mean, so that no class is made up.
    """
    from PIL import Image, ImageOps

    method = Image.Resampling.NEAREST if is_mask else Image.Resampling.BILINEAR
    wanted = (size[1], size[0])
    if image.size == wanted:
        return image
    if fit == "crop":
        return ImageOps.fit(image, wanted, method)
    return image.resize(wanted, method)


def read_pixels(path: Path, size: tuple[int, int], fit: str, greyscale: bool) -> np.ndarray:
    """The pixels of a file, ``(C, H, W)`` uint8; C is 1 for greyscale, else 3.

    8 bits a value stay, 16 bits are scaled by 255 / 65535, whatever the largest value of the image.

    Raises:
        DataError: names a file that cannot be read, or that holds 32 bits a value, or
            signed 16: nothing says which of them is white.
    """
    return image_pixels(open_image(path), str(path), size, fit, greyscale)


def image_pixels(
    image: "Image", name: str, size: tuple[int, int], fit: str, greyscale: bool
) -> np.ndarray:
    """The pixels of an image, as `read_pixels` gives them; ``name`` is for the message."""
    if image.mode in ("I", "F"):
        kind = "whole numbers of 32 bits" if image.mode == "I" else "fractions of 32 bits"
        if image.info.get("bits") == 16:
            kind = "signed whole numbers of 16 bits"
        raise DataError(
            f"{name} holds {kind}, and nothing says which is black and which white",
            known="8 or 16 bits a value, unsigned",
            fix="save all images with 16 bits, by one range for all:"
            " ((values - low) / (high - low) * 65535).round().astype('uint16')",
        )
    if image.mode.startswith("I;16"):
        from PIL import Image

        # Pillow would cut 16 bits off at 255 instead of scaling them.
        values = np.asarray(image, np.float64)
        image = Image.fromarray((values * (255 / 65535)).astype(np.uint8))
    pixels = np.asarray(fitted(image.convert("L" if greyscale else "RGB"), size, fit))
    # A copy: what Pillow gives may not be written to, which torch warns of.
    return np.array(pixels[None] if greyscale else pixels.transpose(2, 0, 1))
