"""Image files as arrays of one size."""

import numpy as np
import pytest
from PIL import Image

from dlplug.data.vision.masks import mask_values
from dlplug.data.vision.pixels import check_fit, image_files, open_image, read_pixels, sides
from dlplug.errors import DataError, InvalidValueError


def save(path, array, mode=None, **arguments):
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **arguments)
    return path


def test_an_image_of_the_right_size_is_read_exactly(tmp_path):
    """Channels first, all bytes as in the file; grey is the eye's brightness."""
    array = np.random.RandomState(0).randint(0, 256, (4, 6, 3), np.uint8)
    path = save(tmp_path / "a.png", array)
    assert np.array_equal(read_pixels(path, (4, 6), "crop", False), array.transpose(2, 0, 1))
    grey = read_pixels(path, (4, 6), "crop", True)
    expected = array @ np.array([0.299, 0.587, 0.114])
    assert grey.shape == (1, 4, 6) and np.abs(grey[0] - expected).max() <= 1


def test_crop_keeps_the_proportions_and_stretch_the_whole(tmp_path):
    """A picture twice as wide, whose middle half is white."""
    array = np.zeros((8, 16), np.uint8)
    array[:, 4:12] = 255
    path = save(tmp_path / "a.png", array)
    assert (read_pixels(path, (8, 8), "crop", True) == 255).all()
    stretched = read_pixels(path, (8, 8), "stretch", True)[0]
    assert stretched[0, 0] == 0 and stretched[0, 4] == 255


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK"])
def test_every_mode_becomes_colour_or_grey(tmp_path, mode):
    """Three channels or one, whatever the file has."""
    array = np.full((4, 4, 3), 255, np.uint8)
    path = save(tmp_path / ("a.tif" if mode == "CMYK" else "a.png"), array, mode)
    assert read_pixels(path, (4, 4), "crop", False).min() == 255
    assert read_pixels(path, (4, 4), "crop", True).shape == (1, 4, 4)


def test_sixteen_bits_are_scaled_not_cut(tmp_path):
    """Half of 65,535 is grey, not white."""
    path = save(tmp_path / "a.png", np.array([[0, 32768, 65535]], np.uint16))
    assert read_pixels(path, (1, 3), "crop", True)[0].tolist() == [[0, 127, 255]]
    dark = save(tmp_path / "b.png", np.array([[0, 100, 255]], np.uint16))
    assert read_pixels(dark, (1, 3), "crop", True).max() == 0


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_sixteen_bits_are_known_by_the_file_not_by_the_image(tmp_path, name):
    """A dark image and a bright one of one folder have the same scale."""
    for top, expected in ((255, 0), (65535, 255)):
        save(tmp_path / name, np.array([[0, top]], np.uint16))
        assert read_pixels(tmp_path / name, (1, 2), "crop", True).tolist() == [[[0, expected]]]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.array([[0.7, 0.9]], np.float32), "fractions"),
        (np.array([[0, 255]], np.int32), "whole numbers"),
        (np.array([[0, 4095]], np.int32), "whole numbers"),
    ],
)
def test_thirty_two_bits_are_refused(tmp_path, values, kind):
    """Fractions became black, whole numbers were scaled by each image's largest."""
    path = save(tmp_path / "a.tif", values)
    with pytest.raises(DataError, match=f"a.tif holds {kind} of 32 bits") as error:
        read_pixels(path, (1, 2), "crop", True)
    assert "astype('uint16')" in error.value.fix


def test_signed_bits_are_called_so(tmp_path):
    """Pillow gives 16 of them as 32; as values of a mask they stay."""
    image = Image.new("I;16", (2, 1), 7)
    image.save(tmp_path / "a.tif", tiffinfo={339: 2})
    with Image.open(tmp_path / "a.tif") as file:
        assert file.mode == "I"
    with pytest.raises(DataError, match=r"a\.tif holds signed whole numbers of 16 bits, and"):
        read_pixels(tmp_path / "a.tif", (1, 2), "crop", True)
    found = mask_values(open_image(tmp_path / "a.tif"), tmp_path / "a.tif")
    assert found.tolist() == [[7, 7]]


def test_cameras_rotation_is_undone(tmp_path):
    """EXIF orientation 6: the first row of the file is the last column of the picture."""
    image = Image.fromarray(np.array([[0, 0], [255, 255], [255, 255]], np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    found = read_pixels(tmp_path / "a.png", (2, 3), "crop", True)[0]
    assert found.tolist() == [[255, 255, 0], [255, 255, 0]]


def test_files_are_found_in_order_by_their_endings(tmp_path):
    """Sub-folders too; hidden files, folders and other endings not."""
    for name in ("b.PNG", "a/c.jpg", "a/notes.txt", ".hidden.png", "z.png/x.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert image_files(tmp_path) == [tmp_path / "a/c.jpg", tmp_path / "b.PNG"]


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n broken"])
def test_a_broken_file_is_named(tmp_path, content):
    """Whatever Pillow raises."""
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png cannot be read as an image"):
        read_pixels(path, (4, 4), "crop", True)


def test_a_file_cut_short_is_named(tmp_path):
    """Half of a JPEG is no image."""
    path = save(tmp_path / "a.jpg", np.random.RandomState(0).randint(0, 256, (64, 64), np.uint8))
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(DataError, match=r"a\.jpg cannot be read"):
        read_pixels(path, (4, 4), "crop", True)


def test_sizes_and_fits_are_checked():
    """The message names the data and the value."""
    assert sides(5, "x") == (5, 5) and sides([3, 4], "x") == (3, 4)
    for size in (0, [1, 2, 3], (4, -1)):
        with pytest.raises(InvalidValueError, match="data x: image_size = "):
            sides(size, "x")
    with pytest.raises(InvalidValueError, match="data x: fit = 'krop'"):
        check_fit("krop", "x")
