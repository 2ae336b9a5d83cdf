"""The operations of RandAugment, against PIL where it has them."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from dlplug.transforms.image_operations import OPERATIONS


def picture():
    """A smooth colour picture of bytes that uses the whole range, as PIL and as a batch of one."""
    torch.manual_seed(0)
    small = torch.rand(1, 3, 4, 5)
    x = torch.nn.functional.interpolate(small, (24, 30), mode="bilinear")
    x = (x - x.min()) / (x.max() - x.min())
    pixels = (x[0] * 255).round().byte().permute(1, 2, 0).numpy()
    return Image.fromarray(pixels), torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)


def ours(name, x, level):
    moved = OPERATIONS[name](x[None] / 255, torch.tensor([level]))[0] * 255
    return moved.clamp(0, 255).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("level", [-0.5, 0.4])
@pytest.mark.parametrize(
    ("name", "by_pil"),
    [
        ("color", lambda im, m: ImageEnhance.Color(im).enhance(1 + 0.9 * m)),
        ("brightness", lambda im, m: ImageEnhance.Brightness(im).enhance(1 + 0.9 * m)),
        ("sharpness", lambda im, m: ImageEnhance.Sharpness(im).enhance(1 + 0.9 * m)),
        ("solarize", lambda im, m: ImageOps.solarize(im, round(255 * (1 - abs(m))) + 1)),
        ("auto_contrast", lambda im, m: ImageOps.autocontrast(im)),
    ],
)
def test_colours_change_as_in_pil(name, by_pil, level):
    """Within the rounding of PIL's bytes (two where it rounds twice)."""
    image, x = picture()
    expected = np.asarray(by_pil(image, level)).astype(float)
    assert np.abs(ours(name, x, level) - expected).max() <= 2


@pytest.mark.parametrize("name", ["rotate", "shear_x", "shear_y", "translate_x", "translate_y"])
def test_geometry_is_as_in_pil(name):
    """PIL's affine transform with the same matrix in pixels, away from the border."""
    image, x = picture()
    width, height = image.size
    cx, cy, turn = width / 2, height / 2, np.deg2rad(0.5 * 30)
    a, b, c, d, e, f = {
        "rotate": (np.cos(turn), -np.sin(turn), 0, np.sin(turn), np.cos(turn), 0),
        "shear_x": (1, 0.15, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, 0.15, 1, 0),
        "translate_x": (1, 0, 0.225 * width, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, 0.225 * height),
    }[name]
    # About the middle of the picture.
    matrix = (a, b, c + cx - a * cx - b * cy, d, e, f + cy - d * cx - e * cy)
    method = Image.Transform.AFFINE
    moved = image.transform(image.size, method, matrix, Image.Resampling.BILINEAR)
    inside = np.s_[8:16, 10:20]
    assert np.abs(ours(name, x, 0.5)[inside] - np.asarray(moved)[inside]).max() <= 2


def test_contrast_moves_away_from_the_mean():
    """The mean stays, the deviation is multiplied."""
    _, x = picture()
    moved = OPERATIONS["contrast"](x[None], torch.tensor([0.5]))
    torch.testing.assert_close(moved.mean(), x.mean())
    torch.testing.assert_close(moved.std(), x.std() * 1.45)


def test_posterize_leaves_so_many_values():
    """4 bits at the full level: 16 values from the darkest to the brightest, as many as before."""
    x = torch.linspace(-2, 3, 1000).view(1, 1, 20, 50)
    moved = OPERATIONS["posterize"](x, torch.tensor([-1.0]))
    assert len(moved.unique()) == 16
    assert float(moved.min()) == -2 and float(moved.max()) == pytest.approx(3)


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"auto_contrast"}))
def test_level_0_changes_nothing(name):
    """Up to the rounding of an interpolation."""
    x = torch.randn(2, 3, 7, 9)
    torch.testing.assert_close(OPERATIONS[name](x, torch.zeros(2)), x, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_takes_grey_and_even_images(name):
    """One channel, one value: finite numbers of the same shape."""
    for x in (torch.ones(2, 1, 5, 5), torch.randn(2, 1, 2, 2)):
        moved = OPERATIONS[name](x, torch.tensor([0.7, -0.7]))
        assert moved.shape == x.shape and bool(moved.isfinite().all())
