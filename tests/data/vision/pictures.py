"""Real images in a temporary folder, for the tests of this folder."""

import numpy as np
from PIL import Image


def write_faces(folder, count=200):
    """scikit-image's faces and other crops as PNG files, ``face/000.png`` and ``other/100.png``."""
    from skimage.data import lfw_subset

    pixels = (lfw_subset() * 255).round().astype(np.uint8)
    half = count // 2
    for number in [*range(half), *range(100, 100 + half)]:
        path = folder / ("face" if number < 100 else "other") / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[number]).save(path)
    return folder


def write_pairs(folder, count=12):
    """Pieces of a photograph, and which of their pixels are dark.

    ``images/NN.jpg`` in colour, ``masks/NN.png`` with 0 and 255, all 40 x 60 pixels.
    """
    from skimage.data import coffee

    picture = coffee()
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        top, left = 20 * number % 300, 37 * number % 500
        piece = picture[top : top + 40, left : left + 60]
        Image.fromarray(piece).save(folder / f"images/{number:02}.jpg", quality=95)
        mask = (piece.mean(axis=2) < 90).astype(np.uint8) * 255
        Image.fromarray(mask).save(folder / f"masks/{number:02}.png")
    return folder
